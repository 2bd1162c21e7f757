"""What predictions score: every run's metrics are the `evaluate.Metric`s that a user gets from `metrics.get`."""

from collections.abc import Sequence
from typing import Any

# It takes seconds: imported with the other libraries, not within the time of the first run.
import evaluate  # noqa: F401  # pyright: ignore[reportUnusedImport]
import numpy as np

from beft_lib.runs.result import Value
from beft_lib.tasks import metrics


def value(
    *,
    metric: str,
    split: str,
    predictions: Sequence[Any] | np.ndarray,
    references: Sequence[Any] | np.ndarray,
    stderr: float,
) -> Value:
    """A metric of a split's predictions, with its standard error, as a result holds it.

    The `evaluate.Metric` is a new one each time, which costs 0.2 ms: a shared one would keep what an interrupted
    evaluation had given it.
    """
    scores = metrics.get(metric).compute(predictions=predictions, references=references)
    return Value(metric=metric, split=split, n=len(references), value=scores[metric], stderr=stderr)


def chosen(scores: Sequence[np.ndarray], right: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """The best option of each example, and the right one to compare it with: of several the chosen, if it is one.

    `scores`: each example's options' scores (c,); `right`: the places of those that count as right.
    """
    best = [int(own.argmax()) for own in scores]
    return best, [own if own in allowed else allowed[0] for own, allowed in zip(best, right, strict=True)]
