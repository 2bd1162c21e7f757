"""Predicates about time, which is measured in turns. (What is counted exactly is in `printed`.)"""

from collections.abc import Callable, Sequence

from beft_lib import tasks
from beft_lib.evidence import stats
from beft_lib.evidence.claims.finding import (
    CONTRADICTED,
    LEANS,
    SUPPORTED,
    Finding,
    by_interval,
    lean,
)
from beft_lib.evidence.costs import ratio
from beft_lib.runs.timing import Timing
from beft_lib.tuning import methods


def is_faster(method: str, others: Sequence[str], task: str) -> Callable[[Sequence[Timing]], Finding | None]:
    """Tuning by the method takes less time in the training loop than by each of the others, turn by turn.

    The effect is the smallest of the others' times over the method's, minus 1, in percent.
    """

    def judge(timings: Sequence[Timing]) -> Finding | None:
        own = [timing for timing in timings if timing.task == task and {method, *others} <= set(timing.methods)]
        if not own:
            return None
        found = {other: ratio(own[0], other, method, lambda turn: turn.loop_seconds) for other in others}
        percent = {
            o: stats.Estimate(100 * (r.mean - 1), 100 * (r.low - 1), 100 * (r.high - 1), r.n) for o, r in found.items()
        }
        verdicts = {by_interval(estimate) for estimate in percent.values()}
        verdict = CONTRADICTED if CONTRADICTED in verdicts else SUPPORTED if verdicts == {SUPPORTED} else LEANS
        reason = f"loop over {methods.title(method)}'s: " + ", ".join(
            f"{methods.title(o)} {r.text(2)}" for o, r in found.items()
        )
        least = min(percent.values(), key=lambda e: e.mean)
        if verdict == LEANS:
            reason += f"; {lean(least)}"
        scope = f"{tasks.title(task)}, time in the training loop"
        return Finding(verdict, least, f"% more time than {methods.title(method)} at least", reason, "turns", scope)

    return judge
