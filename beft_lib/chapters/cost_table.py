"""What each method costs: scalars, time in turns, memory and size on disk (Table 2; of decoders too)."""

from collections.abc import Mapping

import pandas as pd

from beft_lib.chapters import names
from beft_lib.evidence import costs
from beft_lib.runs.timing import Timing, Turn

KB, MB = 1024, 1024**2


def cost(timing: Timing, paper: Mapping | None = None) -> pd.DataFrame:
    """What each method costs (Table 2): medians over the turns, and ratios within them (95 % intervals).

    `paper`: its seconds, for a last column.
    """

    def whole(turn: Turn) -> float:
        return turn.seconds

    def loop(turn: Turn) -> float:
        return turn.loop_seconds

    def memory_mb(turn: Turn) -> float:
        assert turn.memory_mb is not None, "a machine that measures a method's first turn measures all"
        return turn.memory_mb

    rows = []
    for method in timing.methods:
        first = timing.of(method)[0]
        sample = timing.median(method, lambda turn: 1000 * turn.loop_seconds / turn.samples)
        memory = None if first.memory_mb is None else f"{timing.median(method, memory_mb):.0f}"
        share = 100 * (_without_head(timing, method)) / first.parameters
        rows.append(
            {
                "method": names.method(method),
                "scalars": f"{_without_head(timing, method):,}",
                "share, %": f"{share:.3g}",
                "run, s": f"{timing.median(method, whole):.1f}",
                "loop, s": f"{timing.median(method, loop):.1f}",
                "loop / b_v's": "1" if method == "value" else ratio(timing, method),
                "sample, ms": f"{sample:.1f}",
                "memory, MB": memory or "–",
                "on disk": _size(first.saved_bytes),
            }
        )
        if paper is not None:
            theirs = paper["seconds"].get(method)
            rows[-1]["run / b_v's, paper"] = f"{theirs / paper['seconds']['value']:.2f}" if theirs else "–"
    return pd.DataFrame(rows)


def ratio(timing: Timing, method: str) -> str:
    """The time in the training loop over b_v's; two turns have no interval worth printing."""
    quotient = costs.ratio(timing, method, "value", lambda turn: turn.loop_seconds)
    return quotient.text(2) if quotient.n > 2 else f"{quotient.mean:.2f} ({quotient.n} turn{'s' * (quotient.n > 1)})"


def _without_head(timing: Timing, method: str) -> int:
    """Scalars that train besides the head, where there is one; of full tuning all, as the paper counts."""
    count = timing.of(method)[0].trainable
    beside = timing.of("head_only")[0].trainable if "head_only" in timing.methods else 0
    return count if method == "full" else count - beside


def _size(count: int) -> str:
    return f"{count / KB:.1f} KB" if count < MB else f"{count / MB:.1f} MB"
