"""Where a predicate is asked: in which tasks, regimes, variants and rates, and several at once."""

from collections.abc import Sequence

import numpy as np

from beft_lib.evidence.claims.finding import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Finding, Predicate
from beft_lib.evidence.comparison import Comparison


def within(
    predicate: Predicate, tasks: Sequence[str], regimes: Sequence[str], settings: int | None = None
) -> Predicate:
    """The predicate over the settings of these tasks and regimes.

    One seed decides nothing. A task that was not run, or a setting whose ranking runs failed, leaves a claim about all
    of them unsupported. Such verdicts become inconclusive, and the note says why. It also counts the settings that
    were run of those that the claim speaks of (`settings`; left out, each task in each regime).
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = [c for c in comparisons if c.task in tasks and c.regime in regimes]
        if (finding := predicate(own)) is None:
            return None
        reasons = []
        if any(len(c.scores) < 2 for c in own):
            reasons.append("a setting has one seed")
        absent = [task for task in tasks if task not in {c.task for c in own}]
        if absent and finding.verdict == SUPPORTED:
            reasons.append("not run: " + ", ".join(absent))
        if failed := [c for c in own if not c.ranking and any(spec.ranking for spec in c.specs.values())]:
            reasons.append(f"no ranking in {len(failed)} settings")
        verdict = INCONCLUSIVE if reasons else finding.verdict
        if len(own) < (asked := settings or len(tasks) * len(regimes)):
            reasons.append(f"run in {len(own)} of {asked} settings")
        return finding._replace(verdict=verdict, note="; ".join([finding.note, *reasons]))

    return judge


def in_variant(predicate: Predicate, *variants: str) -> Predicate:
    """The predicate over the first of these variants that was asked for, however its runs ended."""

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        for variant in variants:
            if own := [c for c in comparisons if c.variant == variant]:
                finding = predicate(own)
                return finding and finding._replace(note="; ".join(filter(None, [finding.note, variant])))
        return None

    return judge


def at_rate(predicate: Predicate, rate: float) -> Predicate:
    """The predicate over the settings of one learning rate."""

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        finding = predicate([c for c in comparisons if c.learning_rate == rate])
        return finding and finding._replace(note=f"{finding.note} at learning rate {rate:g}")

    return judge


def all_of(*predicates: Predicate) -> Predicate:
    """Every one of the predicates: supported if all are, contradicted if one is.

    Verdict and effect are those of the one that speaks least for the claim; the others are in the note. None if one of
    them cannot be judged.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        found = [predicate(comparisons) for predicate in predicates]
        if not found or None in found:
            return None
        worst_first = (CONTRADICTED, INCONCLUSIVE, SUPPORTED)
        found.sort(key=lambda f: (worst_first.index(f.verdict), np.isnan(f.effect.mean), f.effect.mean))
        others = [
            f"{f.note}, " + (f"{f.effect} {f.unit}, " if f.effect.low < f.effect.high else "") + f.verdict
            for f in found[1:]
        ]
        return found[0]._replace(note="; ".join([found[0].note, *others]))

    return judge
