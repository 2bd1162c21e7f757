"""A score by its name: which there are, what each is given, and its value on a set of examples."""

import numpy as np

from beft_lib.errors import UserError, unknown

from . import answers, classes, correlations
from .pointwise import mean_of_points

DESCRIPTIONS = {**classes.DESCRIPTIONS, **correlations.DESCRIPTIONS, **answers.DESCRIPTIONS}


def names() -> list[str]:
    """The names of all metrics, sorted."""
    return sorted(DESCRIPTIONS)


def compute(name: str, predictions, references) -> float:
    """The score of `predictions` (n,) against `references` (n,), as a fraction.

    A metric of answers takes texts as predictions and lists of texts as references (see `answers.points`).
    Raises `UserError` for an unknown metric, unequal or no lengths, or an `f1` with classes other than 0
    and 1.
    """
    if name in answers.NAMES:
        return mean_of_points(points_of(name, predictions, references))
    predictions, references = checked(name, predictions, references)
    kind = correlations if name in correlations.NAMES else classes
    return kind.score(name, predictions, references)


def check_name(name: str) -> None:
    """Raise `UserError` for an unknown metric."""
    if name not in DESCRIPTIONS:
        raise unknown("metric", name, DESCRIPTIONS)


def checked(name: str, predictions, references) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays (n,) of float64 for a correlation, of int64 class ids otherwise; `UserError` where they are not.

    Not for a metric of answers (see `points_of`).
    """
    check_name(name)
    given = np.asarray(predictions), np.asarray(references)
    if given[0].ndim != 1 or given[0].shape != given[1].shape or not given[0].size:
        raise UserError(
            f"metric {name!r}: predictions of shape {given[0].shape} and references of shape "
            f"{given[1].shape}; "
            f"both must be lists of the same length, one entry for each example and at least one"
        )
    correlation = name in correlations.NAMES
    kinds, valid = ("iuf", "numbers") if correlation else ("iub", "class ids (whole numbers)")
    for array, side in zip(given, ("predictions", "references"), strict=True):
        if array.dtype.kind not in kinds:
            raise UserError(f"metric {name!r}: {side} of type {array.dtype}; they must be {valid}")
        if name == "f1" and not np.isin(array, (0, 1)).all():
            raise UserError(
                f"metric 'f1' is of class 1 of a binary task, and the {side} have class {array.max()}; use 'macro_f1'"
            )
    kind = np.float64 if correlation else np.int64
    return given[0].astype(kind), given[1].astype(kind)


def points_of(name: str, predictions, references) -> list[float]:
    """(n,): each example's points of a metric of answers; `UserError` for unequal or no lengths."""
    if len(predictions) != len(references) or not len(predictions):
        raise UserError(
            f"metric {name!r}: {len(predictions)} predictions and {len(references)} lists of references; "
            f"there must be as many, one for each example and at least one"
        )
    return [answers.points(name, prediction, own) for prediction, own in zip(predictions, references, strict=True)]
