"""The words of the report that need one, explained where they first stand in a chapter, and all together at its end."""

from collections.abc import Mapping

GLOSSARY: Mapping[str, str] = {
    "term": "One kind of bias. b_q, b_k and b_v are the biases of attention's query, key and value projections.",
    "head": "The small classifier on top of an encoder. It trains beside every bias, so that the head alone is the "
    "control of all.",
    "control": "What a method has to beat: for an encoder the head alone, for a decoder the untuned model (zero-shot).",
    "regime": "How much training data there is: low, medium, high or all.",
    "setting": "A task with a regime.",
    "points": "A difference of two scores in per cent: from seventy per cent to seventy-three are three points.",
    "projection ratio": "The paper's score of a term: how far its vector turned while all biases were tuned, from 0 "
    "(no change) over 1 (a right angle), as a mean over layers.",
    "null model": "The same score for a random change of the same size. Where the two agree, the score tells how short "
    "the vector was, not where the task moved it.",
    "regret": "How many points are lost by tuning the selected term and not the best one.",
    "nothing learned": "No method decidedly beat its control or the best constant answer, or every prediction was the "
    "same: such runs say nothing of who is better.",
}
FORMS = {"term": "terms?", "head": "head alone|the head", "regime": "regimes?", "setting": "settings?"}  # in a text


def anchor(word: str) -> str:
    return "word-" + word.replace(" ", "-")
