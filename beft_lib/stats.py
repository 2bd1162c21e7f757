"""Means and paired differences over seeds, with intervals that say what they rest on."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student


class Estimate(NamedTuple):
    """A mean with its 95 % interval over `n` seeds; the interval is nan when there is only one."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.mean:.1f} (one seed, no interval)"
        return f"{self.mean:.1f} [{self.low:.1f}, {self.high:.1f}]"


def mean(values: Sequence[float], level: float = 0.95) -> Estimate:
    """Student's t interval of the mean: values (s,) over seeds; it widens as it must when seeds are few."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return Estimate(float(values.mean()) if len(values) else math.nan, math.nan, math.nan, len(values))
    half = student.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return Estimate(float(values.mean()), float(values.mean() - half), float(values.mean() + half), len(values))


def paired(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Estimate:
    """The mean of first − second, seed by seed: what the runs of a seed share (data, head, batches) cancels."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"paired values need the same seeds: {first.shape} and {second.shape}")
    return mean(first - second, level)
