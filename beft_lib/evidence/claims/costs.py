"""Predicates about counts of scalars, which are exact, and about time, which is measured in turns."""

from collections.abc import Callable, Sequence

import numpy as np

from beft_lib.evidence import stats
from beft_lib.evidence.claims.finding import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    Finding,
    Predicate,
    by_interval,
)
from beft_lib.evidence.comparison import Comparison
from beft_lib.evidence.costs import ratio
from beft_lib.runs.timing import Timing
from beft_lib.tuning import methods


def is_small(share: float, times: float) -> Predicate:
    """b_v is `share` % of the model's parameters, rounded to as many digits, and all biases are about `times` as many.

    An exact count: supported if both hold (within 15 % of `times`), else contradicted. The effect is the share.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        costs = {method: result.cost for c in comparisons for (method, _), result in c.results.items()}
        if not {"value", "all_biases"} <= set(costs):
            return None
        value, every = costs["value"]["trainable"], costs["all_biases"]["trainable"]
        found, ratio = 100 * value / costs["value"]["parameters"], every / value
        holds = f"{found:.2f}" == f"{share:.2f}" and abs(ratio / times - 1) <= 0.15
        note = (
            f"b_v {value:,} scalars, all biases {every:,}: {ratio:.1f} times as many (the paper divides rounded shares)"
        )
        verdict = SUPPORTED if holds else CONTRADICTED
        return Finding(verdict, stats.Estimate(found, np.nan, np.nan, 1), "% of the parameters", note)

    return judge


def trains_fewer(first: str, second: str, times: float) -> Predicate:
    """`first` trains at most one `times`-th of the scalars of `second` (within 15 %).

    An exact count: supported or contradicted. The effect is how many times as many `second` trains, minus 1.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        counts = {method: result.cost["trainable"] for c in comparisons for (method, _), result in c.results.items()}
        if not {first, second} <= set(counts):
            return None
        ratio = counts[second] / counts[first]
        note = (
            f"{methods.title(first)} {counts[first]:,} scalars, {methods.title(second)} {counts[second]:,}: "
            f"{ratio:.1f} times as many"
        )
        verdict = SUPPORTED if ratio >= 0.85 * times else CONTRADICTED
        return Finding(verdict, stats.Estimate(ratio - 1, np.nan, np.nan, 1), "times more", note)

    return judge


def is_faster(method: str, others: Sequence[str], task: str) -> Callable[[Sequence[Timing]], Finding | None]:
    """Tuning by the method takes less time in the training loop than by each of the others, turn by turn.

    The effect is the smallest of the others' times over the method's, minus 1, in percent.
    """

    def judge(timings: Sequence[Timing]) -> Finding | None:
        own = [timing for timing in timings if timing.task == task and {method, *others} <= set(timing.methods)]
        if not own:
            return None
        found = {other: ratio(own[0], other, method, lambda turn: turn.loop_seconds) for other in others}
        percent = {o: stats.Estimate(*(100 * (v - 1) for v in r[:3]), r.n) for o, r in found.items()}
        verdicts = {by_interval(estimate) for estimate in percent.values()}
        verdict = CONTRADICTED if CONTRADICTED in verdicts else SUPPORTED if verdicts == {SUPPORTED} else INCONCLUSIVE
        note = "loop over b_v's: " + ", ".join(f"{methods.title(o)} {r.text(2)}" for o, r in found.items())
        return Finding(verdict, min(percent.values(), key=lambda e: e.mean), "% more time than b_v at least", note)

    return judge
