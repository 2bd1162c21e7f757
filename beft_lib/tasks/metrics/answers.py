"""What a text answer scores against its references: the official metrics of SQuAD v1.1 and of DROP.

Both compare tokens after normalisation: lower case, no punctuation, no article. With `common` tokens in the `predicted`
and the `gold` ones, precision p = common / predicted, recall r = common / gold and F1 = 2 p r / (p + r).

SQuAD counts a token as often as it occurs. DROP splits at hyphens too, reads numbers as numbers ("1,000" is "1e3"),
counts a token once, gives nothing to an answer without any of the reference's numbers, and knows answers of several
spans. SQuAD: Rajpurkar et al. 2016, arXiv 1606.05250, §6.1. DROP: Dua et al. 2019, arXiv 1903.00161.

Differs from the authors' code in: 1. DROP has its own metric; they score it by SQuAD's F1. 2. A reference "no answer"
or "CANNOTANSWER" is a text like any other; they give 1 for the whole of it and 0 for less.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from beft_lib.errors import UserError, unknown

DESCRIPTIONS = {
    "squad_f1": "SQuAD's F1 of an answer's words, the best over its references; the mean over examples.",
    "squad_em": "The share of answers that are one of their references, normalised as SQuAD does.",
    "drop_f1": "DROP's F1 of an answer's words and spans, the best over its references; the mean over examples.",
    "drop_em": "The share of answers that are one of their references, normalised as DROP does.",
}
NAMES = tuple(DESCRIPTIONS)
Answer = str | Sequence[str]  # of one span, or of several

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def points(name: str, prediction: Answer, references: Sequence[Answer]) -> float:
    """One example's score, a fraction: the best over its references.

    For DROP an answer may also be a list or tuple of spans. Each predicted span is then paired with at most one span of
    the reference, so that the sum of the pairs' F1 is largest; the score is that sum over the larger number of spans.

    As in the official scripts: where neither the answer nor a reference has a word left, F1 is 0 for SQuAD and 1 for
    DROP, and either counts as an exact match; a DROP reference whose first span is blank gives 0, whatever the answer;
    DROP's F1 is rounded to two digits.

    Raises `UserError` for an unknown metric, no reference, or an answer that is no text.
    """
    _check(name, prediction, references)
    score = {"squad_f1": _squad_f1, "squad_em": _squad_em, "drop_f1": _drop_f1, "drop_em": _drop_em}[name]
    return max(score(prediction, reference) for reference in references)


def _f1(common: int, predicted: int, gold: int) -> float:
    if not common:
        return 0.0
    precision, recall = common / predicted, common / gold
    return 2 * precision * recall / (precision + recall)


def _squad_tokens(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def _squad_em(prediction: str, reference: str) -> float:
    return float(_squad_tokens(prediction) == _squad_tokens(reference))


def _squad_f1(prediction: str, reference: str) -> float:
    predicted, gold = _squad_tokens(prediction), _squad_tokens(reference)
    return _f1((Counter(predicted) & Counter(gold)).total(), len(predicted), len(gold))


def _drop_em(prediction: Answer, reference: Answer) -> float:
    predicted, gold = _drop_spans(prediction), _drop_spans(reference)
    return float(not _blank(reference) and len(predicted) == len(gold) and set(predicted) == set(gold))


def _drop_f1(prediction: Answer, reference: Answer) -> float:
    from scipy import optimize

    if _blank(reference):
        return 0.0
    predicted, gold = ([set(span) for span in _drop_spans(answer)] for answer in (prediction, reference))
    pairs = np.array([[_bag_f1(own, other) for own in predicted] for other in gold])  # (gold, predicted)
    rows, columns = optimize.linear_sum_assignment(pairs, maximize=True)
    of_spans = np.zeros(max(pairs.shape))  # 0 for a span without a partner
    of_spans[rows] = pairs[rows, columns]
    return float(of_spans.mean().round(2))


def _bag_f1(predicted: set[str], gold: set[str]) -> float:
    numbers = {token for token in gold if _number(token)}
    if numbers and not numbers & predicted:
        return 0.0
    return _f1(len(predicted & gold), len(predicted), len(gold)) if predicted or gold else 1.0


def _drop_spans(answer: Answer) -> list[tuple[str, ...]]:
    """The tokens of each span."""
    return [tuple(_drop_tokens(span)) for span in _spans(answer)]


def _drop_tokens(span: str) -> list[str]:
    tokens = []
    for piece in re.split("[ -]", span.lower()):
        bare = piece.translate(_NO_PUNCTUATION)
        number = _number(piece) or _number(bare)  # a number as it stands keeps its point: 1.5 is not 15
        tokens += [number] if number else _ARTICLES.sub(" ", bare).split()
    return tokens


def _number(text: str) -> str | None:
    """The number that the text is, written in one way: 10.0 for 10, 10.00 and 1e1. None if it is none."""
    try:
        return str(float(text))
    except ValueError:
        return None


def _spans(answer: Answer) -> Sequence[str]:
    return (answer,) if isinstance(answer, str) else answer


def _blank(reference: Answer) -> bool:
    spans = _spans(reference)
    return not spans or not spans[0].strip()


def _check(name, prediction, references):
    if name not in NAMES:
        raise unknown("metric of answers", name, NAMES)
    if isinstance(references, str):
        raise UserError(f"metric {name!r}: the references are a text, {references!r}; give a list of texts")
    if not len(references):
        raise UserError(f"metric {name!r}: no reference for the prediction {prediction!r}; give at least one")
    of_spans = name.startswith("drop")
    for side, answer in [("prediction", prediction), *(("reference", reference) for reference in references)]:
        spans = answer if of_spans and isinstance(answer, list | tuple) else [answer]
        if not all(isinstance(span, str) for span in spans):
            valid = "a text, or a list or tuple of texts" if of_spans else "a text"
            raise UserError(f"metric {name!r}: the {side} {answer!r} must be {valid}")
