"""What a predicate finds: a verdict, why, and the effect it rests on.

A predicate takes the comparisons of one model (one a task and data regime) and returns a `Finding`, or None where the
runs it needs are not there. Its effect carries the sign: positive speaks for the claim.

The verdicts:

supported        the claim holds in every setting that it names, each decided
contradicted     a setting is decided against it
no difference    the interval lies within the margin: there is nothing to claim
leans            the interval holds zero, or not every setting that is named was run ("supported so far"): sign and
                 probability are in the reason
nothing learned  no method beats the control, or predictions are constant: the runs say nothing
not tested       needs a model, regime or task that was not run
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from beft_lib.evidence import stats
from beft_lib.evidence.comparison import Comparison

SUPPORTED, CONTRADICTED, NO_DIFFERENCE = "supported", "contradicted", "no difference"
LEANS, NOTHING_LEARNED, NOT_TESTED = "leans", "nothing learned", "not tested"
VERDICTS = (SUPPORTED, CONTRADICTED, NO_DIFFERENCE, LEANS, NOTHING_LEARNED, NOT_TESTED)
UNDECIDED = (LEANS, NOTHING_LEARNED, NOT_TESTED)
MARGIN = 3.0  # points: two methods that are closer than this are called alike
SO_FAR = "supported so far"


class Finding(NamedTuple):
    """A verdict, the effect it rests on, the effect's unit, and why, in a line.

    `n_of`: what the effect's n counts. `scope`: which of the settings that the claim names were judged. `rests_on`: the
    settings, by model, task and regime. `spread`: of an effect over seeds, what would narrow it. `methods`: that were
    compared, whose runs more seeds would add to. `what`: what was counted, where settings, unit and numbers do not tell
    it apart from another count.
    """

    verdict: str
    effect: stats.Estimate
    unit: str
    reason: str
    n_of: str = "seeds"
    scope: str = ""
    rests_on: tuple[Comparison, ...] = ()
    spread: stats.Spread | None = None
    methods: tuple[str, ...] = ()
    against: float = 0.0  # what the effect has to be clear of
    named: int = 0  # settings that the claim names,
    run: int = 0  # and of these the ones that were run
    idle: tuple[Comparison, ...] = ()  # in which nothing was learned
    what: str = ""

    @property
    def undecided(self) -> bool:
        return self.verdict in UNDECIDED


class Predicate:
    """What decides a claim: a function of comparisons, its rule in words, and the methods that it sets side by side."""

    def __init__(
        self, rule: str, judge: Callable[[Sequence[Comparison]], Finding | None], compares: Sequence[str] = ()
    ):
        self.rule, self._judge, self.compares = rule, judge, tuple(compares)

    def __call__(self, comparisons: Sequence[Comparison]) -> Finding | None:
        return self._judge(comparisons)


def planned(comparison: Comparison, needed: set[str]) -> bool:
    """Whether the setting was meant to compare these methods, however its runs ended."""
    made = {method for method, _ in comparison.specs} | ({"key"} if comparison.serves_key else set())
    return needed <= made


def by_interval(effect: stats.Estimate, margin: float | None = None) -> str:
    """Supported above zero, contradicted below it; where the interval holds zero, no difference if it lies within
    ± `margin`, else a lean. Without an interval, a lean."""
    if effect.decided:
        return SUPPORTED if effect.mean > 0 else CONTRADICTED
    if margin is not None and effect.n > 1 and -margin <= effect.low <= 0 <= effect.high <= margin:
        return NO_DIFFERENCE
    return LEANS


def lean(effect: stats.Estimate, above: float = 0.0) -> str:
    """Which way an undecided effect leans, in words: its sign and how probable that is."""
    if math.isnan(effect.mean):
        return "undefined"
    if effect.n < 2 or math.isnan(effect.low):
        return "one seed: a sign, and no interval"
    if effect.low == effect.high:
        return "the same in every seed: no spread to judge by"
    probability = stats.probability(effect, above)
    way, sure = ("for", probability) if probability >= 0.5 else ("against", 1 - probability)
    return f"leans {way} it, with probability {min(sure, 0.99):.2f}"


def about(effect: stats.Estimate, verdict: str) -> str:
    """What a verdict by interval says, in words."""
    said = {SUPPORTED: "the interval lies above zero", CONTRADICTED: "the interval lies below zero"}
    said |= {NO_DIFFERENCE: f"the interval lies within ±{MARGIN:g} points"}
    if verdict == NO_DIFFERENCE and effect.low == effect.high == 0:
        return "zero in every seed"
    return said.get(verdict) or lean(effect)
