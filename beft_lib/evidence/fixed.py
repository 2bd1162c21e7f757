"""The mean gap over several settings that are given, not drawn: the tasks and regimes that a statement names.

Settings of different tasks are independent. Settings of one task are not: its regimes share the evaluation examples,
its validation splits the runs. So the gaps of a task are averaged first, seed by seed and draw by draw, and the tasks
are the strata of `stats.stratified`. Every task weighs the same.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from beft_lib import runs
from beft_lib.evidence import stats
from beft_lib.evidence.comparison import Comparison

Chosen = str | Mapping[int, str]


class Pair(NamedTuple):
    """Two methods in one setting, on one validation split; or by seed, which ones."""

    comparison: Comparison
    first: Chosen
    second: Chosen

    @property
    def seeds(self) -> list[int]:
        scores, own = self.comparison.scores, (self.first, self.second)
        if any(isinstance(method, str) and method not in scores for method in own):
            return []
        return [s for s in scores.index if all(_has(scores, s, m) for m in own)]


def _has(scores: pd.DataFrame, seed: int, method: Chosen) -> bool:
    name = method if isinstance(method, str) else method.get(seed)
    return name in scores and not np.isnan(scores.at[seed, name])


def strata(pairs: Sequence[Pair]) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[float]]:
    """The strata of `stats.stratified` and their weights, of pairs that all have a seed: a task each.

    Where the settings of a task have other seeds, each of them is a stratum: then nothing can be averaged by seed.
    """
    tasks: dict[str, list[Pair]] = {}
    for pair in pairs:
        if pair.seeds:
            tasks.setdefault(pair.comparison.task, []).append(pair)
    made, weights = [], []
    for own in tasks.values():
        seeds = own[0].seeds
        parts = _aligned(own)
        if all(pair.seeds == seeds for pair in own):
            scores, drawn = zip(*parts)
            made.append((np.mean(scores, axis=0), np.mean(drawn, axis=0)))
            weights.append(1 / len(tasks))
        else:
            made += parts
            weights += [1 / len(tasks) / len(own)] * len(own)
    return made, weights


def _aligned(pairs: Sequence[Pair]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scores and samples of each pair; samples of other examples than the first one's in another order of the draws,
    since one order for all would tie examples together that have nothing in common."""
    rng, orders, made = np.random.default_rng(0), {}, []
    for comparison, first, second in pairs:
        seeds = Pair(comparison, first, second).seeds
        scores, drawn = comparison.samples(first, second, seeds)
        ids = runs.predictions(comparison.specs[next(iter(comparison.results))])[f"{comparison.split}/ids"]
        mark = (comparison.split, ids.tobytes())
        if mark not in orders:
            orders[mark] = rng.permutation(len(drawn)) if orders else np.arange(len(drawn))
        made.append((scores, drawn[orders[mark]]))
    return made


def mean_gap(pairs: Sequence[Pair], level: float = 0.95) -> stats.Estimate:
    """first − second in points, over seeds and evaluation examples within the pairs' tasks, which are fixed."""
    return stats.stratified(*strata(pairs), level=level)


def over_tasks(pairs: Sequence[Pair], least: int = 5) -> stats.Estimate | None:
    """The same mean with an interval over tasks, as if they were drawn from many; None with fewer than `least`.

    It answers another question, "on a task like these", and only statements about tasks at large ask it.
    """
    own, _ = strata(pairs)
    tasks = {pair.comparison.task for pair in pairs if pair.seeds}
    return stats.mean([scores.mean() for scores, _ in own]) if len(own) == len(tasks) >= least else None
