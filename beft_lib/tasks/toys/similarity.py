"""toy-similarity: how alike are two scenes? A score from 0 (nothing in common) to 5 (the same), in steps of
a half.

A scene is who does what to what where. The score adds 1, 2, 1 and 1 for a part that is the same, in the
same words or a synonym, and half of that for a part that is related (`apples`, `pears`). Columns:
sentence1, sentence2, label, idx.
"""

from . import SIZES, distinct, sentence

WEIGHT = {"who": 1, "doing": 2, "what": 1, "where": 1}
# an entry is two related meanings, divided by `/`; a meaning is one wording or two, divided by `|`
WORDS = {
    "train": {
        "who": "man|guy / boy|lad, woman|lady / girl, cook|chef / baker, doctor|physician / nurse",
        "doing": "cutting|slicing / peeling, lifting|raising / pushing|shoving, washing|cleaning / drying, "
        "buying|purchasing / selling",
        "what": "apples / pears, plates|dishes / bowls, chairs|seats / tables, shirts / trousers|pants",
        "where": "in the kitchen / in the pantry, "
        "on the street|on the road / on the pavement|on the sidewalk, "
        "in the garden|in the yard / in the park, at the market / in the shop|in the store",
    },
    "validation": {
        "who": "sailor|mariner / captain|skipper, student|pupil / professor|lecturer, "
        "child|kid / baby|infant, policeman|constable / soldier",
        "doing": "painting|coloring / drawing|sketching, repairing|fixing / building|constructing, "
        "throwing|tossing / catching, hiding|concealing / finding|discovering",
        "what": "boats|ships / canoes, stones|rocks / bricks, pictures|images / maps, hats|caps / coats|jackets",
        "where": "at the beach|at the seaside / near the lake, in the classroom / in the library, "
        "on the roof / on the balcony, in the forest|in the woods / in the meadow",
    },
}
FRAMES = [
    "a {who} is {doing} {what} {where}",
    "{where}, a {who} is {doing} {what}",
    "there is a {who} {doing} {what} {where}",
]


def rows(split: str) -> list[dict]:
    groups = {
        slot: [[meaning.split("|") for meaning in group.split(" / ")] for group in entries.split(", ")]
        for slot, entries in WORDS[split].items()
    }

    def make(rng, score):
        shares = {}  # of each slot: 1 the same, 0.5 related, 0 unrelated
        while sum(WEIGHT[slot] * share for slot, share in shares.items()) != score or not shares:
            shares = {slot: rng.choice([0, 0.5, 1]) for slot in WEIGHT}
        said = [{}, {}]
        for slot, share in shares.items():
            group, other_group = rng.sample(groups[slot], 2)
            one, related = rng.sample(group, 2)
            other = {1: one, 0.5: related, 0: rng.choice(other_group)}[share]
            said[0][slot], said[1][slot] = rng.choice(one), rng.choice(other)
        return tuple(sentence(rng.choice(FRAMES).format(**words)) for words in said)

    scores = [(i % 11) / 2 for i in range(SIZES[split])]
    examples = distinct(make, scores, f"toy-similarity v1 {split}")
    return [
        {"sentence1": one, "sentence2": two, "label": label, "idx": i} for i, ((one, two), label) in enumerate(examples)
    ]
