"""toy-paraphrase: do two sentences say the same? 0 different, 1 paraphrase.

Both members of a pair differ in wording (active or passive voice, word order, synonyms). In a pair that is
not a paraphrase, one to three of agent, action, object and time are replaced by another one as well, so
that the number of words in common says little. Columns: sentence1, sentence2, label, idx.
"""

from . import SIZES, distinct, sentence

# each entry is one meaning: its two wordings
WORDS = {
    "train": {
        "agent": "teacher|instructor, doctor|physician, lawyer|attorney, thief|burglar, singer|vocalist, "
        "author|writer, guest|visitor, boss|manager",
        "action": "bought|purchased, repaired|fixed, found|discovered, hid|concealed, washed|cleaned, "
        "destroyed|wrecked, wanted|desired, displayed|exhibited",
        "object": "car|automobile, picture|image, present|gift, bag|sack, stone|rock, sofa|couch, "
        "jacket|coat, lamp|light",
        "time": "at dawn|at sunrise, in autumn|in fall, recently|not long ago, quickly|rapidly, sometimes|occasionally",
    },
    "validation": {
        "agent": "student|pupil, sailor|mariner, tourist|traveller, policeman|constable, baby|infant, "
        "painter|artist, king|monarch, child|kid",
        "action": "constructed|built, damaged|harmed, selected|picked, moved|shifted, observed|watched, "
        "grabbed|seized, carried|transported, spotted|noticed",
        "object": "ship|vessel, bicycle|bike, rug|carpet, cup|mug, sweater|pullover, carton|box, "
        "parcel|package, notebook|journal",
        "time": "at noon|at midday, finally|eventually, immediately|at once, at dusk|at nightfall, often|frequently",
    },
}
FRAMES = [
    "the {agent} {action} the {object} {time}",
    "{time}, the {agent} {action} the {object}",
    "the {object} was {action} by the {agent} {time}",
    "{time}, the {object} was {action} by the {agent}",
    "it was the {agent} who {action} the {object} {time}",
]


def rows(split: str) -> list[dict]:
    meanings = {
        slot: [tuple(meaning.split("|")) for meaning in entries.split(", ")] for slot, entries in WORDS[split].items()
    }

    def make(rng, label):
        first = {slot: rng.choice(entries) for slot, entries in meanings.items()}
        second = dict(first)
        if not label:
            for slot in rng.sample(sorted(first), rng.choice([1, 2, 3])):
                second[slot] = rng.choice([meaning for meaning in meanings[slot] if meaning != first[slot]])
        frames = rng.sample(FRAMES, 2)
        said = [{slot: rng.choice(meaning[slot]) for slot in meaning} for meaning in (first, second)]
        return tuple(sentence(frame.format(**words)) for frame, words in zip(frames, said, strict=True))

    examples = distinct(make, [i % 2 for i in range(SIZES[split])], f"toy-paraphrase v1 {split}")
    return [
        {"sentence1": one, "sentence2": two, "label": label, "idx": i} for i, ((one, two), label) in enumerate(examples)
    ]
