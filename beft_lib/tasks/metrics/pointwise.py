"""Metrics that are a mean over examples: from each example's points, a fraction, to scores and their errors.

n examples, s seeds, d bootstrap draws.
"""

import numpy as np

from beft_lib.errors import UserError


def mean_of_points(points) -> float:
    """The score of points (n,), a fraction. Raises `UserError` if there is none, or one that is not from 0 to 1."""
    return float(_checked(points, 1).mean())


def standard_error_of_points(points) -> float:
    """The standard error of the score over the choice of the n evaluation examples: sd(points) / sqrt(n).

    The standard deviation is that of the n points themselves (over n, not n − 1), which makes it the limit of the
    bootstrap's, and sqrt(p (1 - p) / n) if each is 0 or 1 with mean p. Raises `UserError` as `mean_of_points` does.
    """
    points = _checked(points, 1)
    return float(points.std() / np.sqrt(len(points)))


def resampled_points(points, counts) -> np.ndarray:
    """The scores (d, s) of s seeds' points (s, n) on each of d samples of the n examples: counts · pointsᵀ / n.

    Counts (d, n) as in `metrics.resampled`. Raises `UserError` as `mean_of_points` does, and `ValueError` for counts
    that are not of n examples and n draws.
    """
    points = _checked(points, 2)
    n = points.shape[1]
    return checked_counts(counts, n) @ points.T / n


def checked_counts(counts, n: int) -> np.ndarray:
    """(d, n): how often each of d samples drew each example, n draws in all; `ValueError` if they are not that."""
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1] != n or (counts.sum(1) != n).any():
        raise ValueError(f"counts of shape {counts.shape} for {n} examples; each row must be {n} counts of sum {n}")
    return counts


def _checked(points, axes: int) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != axes or not points.size:
        valid = {1: "(n,)", 2: "(s, n)"}[axes]
        raise UserError(f"points of shape {points.shape}; they must be {valid}, one for each example and at least one")
    if not ((points >= 0) & (points <= 1)).all():  # as is nan
        raise UserError(f"points from {points.min()} to {points.max()}; each must be a fraction, from 0 to 1")
    return points
