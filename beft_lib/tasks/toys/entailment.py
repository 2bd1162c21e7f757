"""toy-entailment: does the hypothesis follow from the premise? 0 entailment, 1 neutral, 2 contradiction.

The hypothesis follows if it says less (`fruit` for `apples`, a detail left out), is neutral if it says more,
and contradicts if it denies the premise or states the opposite action. Columns: premise, hypothesis, label,
idx.
"""

from . import SIZES, distinct, sentence

WORDS = {
    "train": {
        "who": "nurse, baker, lawyer, singer, gardener, pilot, widow, clerk",
        # past tense and infinitive of two opposites
        "action": "bought buy / sold sell, lost lose / found find, hid hide / showed show, "
        "cleaned clean / stained stain",
        # a kind and things of that kind
        "object": "fruit: apples pears plums cherries, furniture: tables chairs wardrobes stools, "
        "clothes: shirts coats scarves gloves",
        "where": "in the village, at the station, near the castle, on the square",
        "detail": "before lunch, with her sister, because of the rain, for the third time",
    },
    "validation": {
        "who": "sailor, student, plumber, waiter, painter, judge, tourist, farmer",
        "action": "packed pack / unpacked unpack, lent lend / borrowed borrow, "
        "accepted accept / rejected reject, damaged damage / repaired repair",
        "object": "vegetables: carrots onions cabbages turnips, instruments: guitars drums flutes violins, "
        "vehicles: trucks bicycles vans tractors",
        "where": "in the harbour, at the airport, beside the church, behind the school",
        "detail": "after work, with a friend, despite the heat, without any help",
    },
}


def rows(split: str) -> list[dict]:
    words = {slot: entries.split(", ") for slot, entries in WORDS[split].items()}

    def make(rng, label):
        who, where, detail = (rng.choice(words[slot]) for slot in ("who", "where", "detail"))
        action, opposite = (pair.split() for pair in rng.sample(rng.choice(words["action"]).split(" / "), 2))
        kind, things = rng.choice(words["object"]).split(": ")
        what = rng.choice(things.split())

        def say(did, what, *details):
            words, front = [f"the {who} {did} {what}", *details], ""
            if details and rng.random() < 0.3:  # the last detail may stand in front
                front = words.pop() + ", "
            return sentence(front + " ".join(words))

        did, do = action
        more, less = rng.choice(
            [
                ((did, what, where), (did, kind, where)),  # the kind instead of the thing
                ((did, what, where, detail), (did, what, where)),  # one detail less
                ((did, what, detail), (did, what)),
                ((did, what, where, detail), (did, kind)),
            ]
        )
        if label == 0:
            return say(*more), say(*less)
        if label == 1:
            return say(*less), say(*more)
        premise, denied = rng.choice([(more, less), (more, more), (less, less)])
        denial = rng.choice([f"did not {do}", f"never {did}", opposite[0]])
        return say(*premise), say(denial, *denied[1:])

    examples = distinct(make, [i % 3 for i in range(SIZES[split])], f"toy-entailment v1 {split}")
    return [
        {"premise": one, "hypothesis": two, "label": label, "idx": i} for i, ((one, two), label) in enumerate(examples)
    ]
