"""Ratios of what methods cost, from timings in turns (`runs.timing`)."""

from collections.abc import Callable

import numpy as np

from beft_lib.evidence import stats
from beft_lib.runs.timing import Timing, Turn


def ratio(timing: Timing, method: str, to: str, what: Callable[[Turn], float]) -> stats.Estimate:
    """How many times as much as `to`: the geometric mean over turns, with Student's interval of its logarithm.

    The ratio is taken within a turn, so that what slowed a whole turn cancels.
    """
    logs = [np.log(what(a) / what(b)) for a, b in zip(timing.of(method), timing.of(to))]
    mean, low, high = np.exp(stats.mean(logs)[:3]).tolist()
    return stats.Estimate(mean, low, high, len(logs))
