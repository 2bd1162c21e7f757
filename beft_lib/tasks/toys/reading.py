"""toy-reading: a question about one of two sentences, whose answer is a few words of it.

Both sentences have the same parts (who did what, and where or when), so that the answer is the part asked for of
the sentence asked about. Columns, as SQuAD's: id, context, question, answers (text, answer_start: lists of one).
"""

from . import SIZES, distinct, sentence

WORDS = {
    "train": {
        "who": "nurse, baker, lawyer, singer, gardener, pilot, widow, clerk",
        # past tense and infinitive
        "action": "bought buy, sold sell, lost lose, found find, hid hide, cleaned clean",
        "what": "coat, table, scarf, basket, mirror, pillow, hammer, wallet",
        "where": "in the village, at the station, in the castle, on the square, in the cellar, at the zoo",
        "when": "on Monday, on Thursday, on Saturday, in March, in August, in October",
    },
    "validation": {
        "who": "sailor, student, plumber, waiter, painter, judge, tourist, farmer",
        "action": "broke break, borrowed borrow, drew draw, repaired repair, stole steal, dropped drop",
        "what": "guitar, bicycle, lamp, letter, bottle, clock, helmet, ticket",
        "where": "in the harbour, at the airport, in the church, at the school, in the garden, on the bridge",
        "when": "on Tuesday, on Wednesday, on Friday, in April, in July, in December",
    },
}


def rows(split: str) -> list[dict]:
    words = {slot: entries.split(", ") for slot, entries in WORDS[split].items()}

    def make(rng, asked):
        detail = asked if asked in ("where", "when") else rng.choice(["where", "when"])
        parts = {slot: rng.sample(words[slot], 2) for slot in ("who", "action", "what", detail)}
        context = " ".join(
            sentence(f"the {who} {action.split()[0]} a {what} {place}")
            for who, action, what, place in zip(*parts.values())
        )
        chosen = rng.choice([0, 1])
        who, action, what, place = (part[chosen] for part in parts.values())
        did, do = action.split()
        question, answer = {
            "who": (f"who {did} the {what}", f"the {who}"),
            "what": (f"what did the {who} {do}", f"a {what}"),
            "where": (f"where did the {who} {do} the {what}", place),
            "when": (f"when did the {who} {do} the {what}", place),
        }[asked]
        start = context.lower().index(answer.lower())
        return context, question.capitalize() + "?", context[start : start + len(answer)]

    kinds = ["who", "what", "where", "when"]
    examples = distinct(make, [kinds[i % 4] for i in range(SIZES[split])], f"toy-reading v1 {split}")
    return [
        {
            "id": f"{split}-{i}",
            "context": context,
            "question": question,
            "answers": {"text": [answer], "answer_start": [context.index(answer)]},
        }
        for i, ((context, question, answer), _) in enumerate(examples)
    ]
