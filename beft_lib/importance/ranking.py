"""From scores to an order of terms."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast

from beft_lib.errors import UserError

APPROACHES = ("projection", "magnitude", "fisher", "fisher_batch", "null_model")


class Score(NamedTuple):
    """The importance of one bias under one of `APPROACHES`: `layer` is 0-based, None for a bias outside the layers."""

    approach: str
    term: str
    layer: int | None
    score: float


class Rank(NamedTuple):
    """A term's place: 1 is the most important. A term without a defined score (`nan`) comes last."""

    term: str
    score: float
    place: int


def means(scores: Iterable[Score]) -> dict[str, float]:
    """A term's score (paper §2): the mean over its layers.

        score(b) = 1/L Σ_l score(b, l)

    {term: score}, of the scores of ONE approach; terms in the order in which they came.
    """
    layers = defaultdict(list)
    for score in scores:
        layers[score.term].append(score.score)
    return {term: math.fsum(values) / len(values) for term, values in layers.items()}


def rank(scores: Iterable[Score] | Mapping[str, float], among: Sequence[str] | None = None) -> list[Rank]:
    """Terms by importance, the best first: the target term is `rank(scores, among=("query", "key", "value"))[0].term`.

    `scores`: the scores of ONE approach, or the terms' means. `among`: only these terms (default all). Equal scores
    keep the order in which the terms came; `nan` (a zero vector under the projection ratio) is last, never first.
    Raises `UserError` for scores of several approaches or a term that has no score. Paper §2.1, arg max.
    """
    known: Mapping[str, float]
    if isinstance(scores, Mapping):
        known = cast("Mapping[str, float]", scores)  # an Iterable[Score] may be a Mapping too, for all a checker knows
    else:
        scores = list(scores)
        approaches = {score.approach for score in scores}
        if len(approaches) > 1:
            raise UserError(
                f"scores of several approaches cannot be ranked together: {', '.join(sorted(approaches))}; "
                "pass those of one"
            )
        known = means(scores)
    if among is not None:
        missing = [term for term in among if term not in known]
        if missing:
            raise UserError(f"no score for {', '.join(missing)}; there are scores for {', '.join(known)}")
        known = {term: known[term] for term in among}
    ordered = sorted(known, key=lambda term: math.inf if math.isnan(known[term]) else -known[term])
    return [Rank(term, known[term], place) for place, term in enumerate(ordered, start=1)]
