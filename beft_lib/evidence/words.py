"""Paired differences in words: which method scores higher, by how much, and whether the data can tell."""

import math
from collections.abc import Iterable, Mapping

from beft_lib.evidence import stats
from beft_lib.evidence.comparison import Comparison
from beft_lib.tuning import methods

COMPARED = (
    ("value", "query"),
    ("value", "key"),
    ("query", "key"),
    ("value", "head_only"),
    ("query", "head_only"),
    ("key", "head_only"),
    ("value", "all_biases"),
)


def sentence(first: str, second: str, gap: stats.Estimate) -> str:
    """A paired difference in words: which method scores higher, by how many points, and whether the data can tell."""
    a, b = methods.title(first), methods.title(second)
    if math.isnan(gap.mean):
        return f"{a} and {b} were not both run."
    if math.isnan(gap.low) or gap.n == 1:
        points = stats.number(gap.mean, sign=True)
        return f"{a} scores {points} points against {b}, from one seed: no interval over seeds, no conclusion."
    if gap.low == gap.high == 0:
        return f"{a} and {b} score exactly the same in each of {gap.n} seeds."
    if gap.low > 0:
        verdict = f"{a} scores higher than {b}"
    elif gap.high < 0:
        verdict = f"{a} scores lower than {b}"
    else:
        verdict = f"The data cannot tell {a} from {b}"
    mean, low, high = stats.number(gap.mean, sign=True), stats.number(gap.low), stats.number(gap.high)
    return f"{verdict}: {mean} points [{low}, {high}] over {gap.n} seeds."


def told(gap: stats.Estimate) -> str:
    """A paired difference in points, saying so where it is not decided."""
    return f"{gap} points" + ("" if gap.decided else " (undecided)")


def clauses(gaps: Mapping[str, stats.Estimate], where: str = "on", failed: Iterable[str] = ()) -> str:
    """Where the first of two scores higher, where lower, and where the data cannot tell, in one line.

    `gaps`: the paired difference by name, of a setting or of the other method; those that are not known are left out.
    `where`: what stands before the names, "on" settings or "than" methods.
    """
    known = {name: gap for name, gap in gaps.items() if not math.isnan(gap.mean)}
    parts = {
        f"higher {where}": [f"{name} ({gap})" for name, gap in known.items() if gap.decided and gap.mean > 0],
        f"lower {where}": [f"{name} ({gap})" for name, gap in known.items() if gap.decided and gap.mean < 0],
        "undecided on" if where == "on" else "undecided against": [n for n, gap in known.items() if not gap.decided],
        "failed:": list(failed),
    }
    return "; ".join(f"{start} {', '.join(names)}" for start, names in parts.items() if names)


def pairwise(comparison: Comparison) -> list[str]:
    """The paired differences that decide what is worth tuning, in words, in one setting."""
    pairs = [pair for pair in COMPARED if not (pair == ("key", "head_only") and comparison.serves_key)]
    return [sentence(first, second, comparison.gap(first, second)) for first, second in pairs]
