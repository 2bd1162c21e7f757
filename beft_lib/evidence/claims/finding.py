"""What a predicate finds: a verdict, and the effect it rests on.

A predicate takes the comparisons of one model (one a task and data regime) and returns a `Finding`, or None where the
runs it needs are not there. Its effect carries the sign: positive speaks for the claim.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from beft_lib.evidence import stats
from beft_lib.evidence.comparison import Comparison

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"


class Finding(NamedTuple):
    """A verdict, the effect it rests on, the effect's unit, and what was counted, in words."""

    verdict: str
    effect: stats.Estimate
    unit: str
    note: str


Predicate = Callable[[Sequence[Comparison]], Finding | None]


def planned(comparison: Comparison, needed: set[str]) -> bool:
    """Whether the setting was meant to compare these methods, however its runs ended."""
    made = {method for method, _ in comparison.specs} | ({"key"} if comparison.serves_key else set())
    return needed <= made


def by_interval(effect: stats.Estimate) -> str:
    """Supported above zero, contradicted below it, inconclusive if the interval holds it or does not exist."""
    if not effect.decided:
        return INCONCLUSIVE
    return SUPPORTED if effect.mean > 0 else CONTRADICTED
