"""Where a predicate is asked: in which tasks, regimes, variants and rates, and several at once."""

from collections.abc import Collection, Sequence

import numpy as np

from beft_lib.evidence import learning
from beft_lib.evidence.claims.finding import (
    CONTRADICTED,
    LEANS,
    NO_DIFFERENCE,
    NOTHING_LEARNED,
    SO_FAR,
    SUPPORTED,
    Finding,
    Predicate,
)
from beft_lib.evidence.comparison import Comparison
from beft_lib.tasks import title as titled

WORST_FIRST = (CONTRADICTED, NOTHING_LEARNED, LEANS, NO_DIFFERENCE, SUPPORTED)


def within(
    predicate: Predicate, tasks: Sequence[str], regimes: Sequence[str], settings: int | None = None
) -> Predicate:
    """The predicate over the settings of these tasks and regimes in which something was learned.

    Where nothing was learned, a setting counts for nothing; where that is so in all of them, or in those that the claim
    turns on, the verdict is that. One seed decides nothing. What holds wherever it was run is supported only if every
    setting that the claim names was (`settings`; left out, each task in each regime): a task, a regime, a ranking run
    or a setting that learned nothing leaves it "supported so far", which is a lean. The scope says which were judged.
    """
    named = settings or len(tasks) * len(regimes)

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = [c for c in comparisons if c.task in tasks and c.regime in regimes]
        several = len(own) - len({(c.task, c.regime) for c in own})  # of one task and regime, at other learning rates
        asked = named + several
        idle = {c: reason for c in own if (reason := learning.says_nothing(c, predicate.compares))}
        kept = [c for c in own if c not in idle]
        finding = predicate(kept)
        if finding is None:
            if not idle or (finding := predicate(own)) is None:
                return None
            finding = finding._replace(verdict=NOTHING_LEARNED, reason=_idle(idle))
        scope = _scope(own, idle, tasks, regimes, asked)
        whole = predicate(own) if idle and kept and finding.unit == "points" else None
        if whole is not None and whole.effect != finding.effect:
            scope += f"; over all {len(own)} that were run {whole.effect}"
        scope = f"{scope}; {finding.scope}" if finding.scope else scope
        finding = finding._replace(scope=scope, named=asked, run=len(own), idle=tuple(idle))
        if finding.verdict == NOTHING_LEARNED:
            return finding
        reasons = []
        if any(len(c.scores) < 2 for c in kept):
            reasons.append("a setting has one seed, which decides nothing")
        if failed := [c for c in kept if not c.ranking and any(spec.ranking for spec in c.specs.values())]:
            reasons.append(f"no ranking in {len(failed)} settings")
        if reasons:
            return finding._replace(verdict=LEANS, reason="; ".join([*reasons, finding.reason]))
        if finding.verdict == SUPPORTED and len(kept) < asked:
            said = f"{SO_FAR} ({len(kept)} of {asked} settings): {finding.reason}"
            return finding._replace(verdict=LEANS, reason=said)
        return finding

    where = f"{', '.join(map(titled, tasks))}; {', '.join(regimes)} data"
    return Predicate(f"{predicate.rule} ({where})", judge, predicate.compares)


def _idle(idle: dict[Comparison, str]) -> str:
    """Where nothing was learned, and why, in words."""
    reasons: dict[str, list[str]] = {}
    for comparison, reason in idle.items():
        reasons.setdefault(reason, []).append(f"{titled(comparison.task)} ({comparison.regime} data)")
    return "; ".join(f"{', '.join(dict.fromkeys(own))}: {reason}" for reason, own in reasons.items())


def _scope(
    own: Sequence[Comparison], idle: Collection[Comparison], tasks: Sequence[str], regimes: Sequence[str], asked: int
) -> str:
    """Which settings were judged of those that the claim names."""
    said = [f"{len(own) - len(idle)} of {asked} settings"]
    if idle:
        said.append(f"nothing learned in {len(idle)}")
    if len(own) < asked:
        absent = [titled(task) for task in tasks if task not in {c.task for c in own}]
        missing = [regime for regime in regimes if regime not in {c.regime for c in own}] if len(regimes) > 1 else []
        if "custom" in regimes:
            missing = []
        named = [", ".join(absent)] if absent else []
        named += [f"{', '.join(missing)} data"] if missing else []
        said.append(f"not run: {asked - len(own)}" + (f" ({'; '.join(named)})" if named else ""))
    return "; ".join(said)


def in_variant(predicate: Predicate, *variants: str) -> Predicate:
    """The predicate over the first of these variants that was asked for, however its runs ended."""

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        for variant in variants:
            if own := [c for c in comparisons if c.variant == variant]:
                finding = predicate(own)
                return finding and finding._replace(scope="; ".join(filter(None, [finding.scope, variant])))
        return None

    return Predicate(predicate.rule, judge, predicate.compares)


def at_fair_rates_too(predicate: Predicate, papers: str, fair: str) -> Predicate:
    """The predicate in the paper's way, at one learning rate for all, and beside it at a rate of each method's own.

    The verdict is of the paper's way. Where the same settings come to another one with rates from the same budget of
    search, or to the same one by an effect that points elsewhere, the reason says so.
    """
    usual = in_variant(predicate, papers)

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        finding = usual(comparisons)
        own = [c for c in comparisons if c.variant == fair]
        if finding is None or not own:
            return finding
        also = {(c.task, c.regime, c.n_train) for c in own}
        same = [c for c in comparisons if c.variant == papers and (c.task, c.regime, c.n_train) in also]
        fairly, before = predicate(own), predicate(same)
        if fairly is None or before is None or _direction(fairly) == _direction(before):
            return finding
        where = ", ".join(titled(c.task) for c in own)
        said = f"at rates of their own, on {where}: {fairly.verdict}, {fairly.effect} {fairly.unit}"
        return finding._replace(reason=f"{finding.reason}; {said} (at the one rate: {before.verdict}, {before.effect})")

    return Predicate(predicate.rule, judge, predicate.compares)


def _direction(finding: Finding) -> tuple[str, bool, bool]:
    """What a finding says without its size: the verdict, which way the effect points, and whether that is decided."""
    effect, clear_of = finding.effect, finding.against
    return finding.verdict, effect.mean > clear_of, effect.low > clear_of or effect.high < clear_of


def at_rate(predicate: Predicate, rate: float) -> Predicate:
    """The predicate over the settings of one learning rate."""

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        finding = predicate([c for c in comparisons if c.learning_rate == rate])
        return finding and finding._replace(reason=f"{finding.reason} at learning rate {rate:g}")

    return Predicate(f"{predicate.rule}, at learning rate {rate:g}", judge, predicate.compares)


def all_of(*predicates: Predicate) -> Predicate:
    """Every one of the predicates: supported if all are, contradicted if one is.

    Verdict and effect are those of the one that speaks least for the claim; the others are in the reason. None if one
    of them cannot be judged.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        found = [finding for predicate in predicates if (finding := predicate(comparisons)) is not None]
        if not found or len(found) < len(predicates):
            return None
        found.sort(key=lambda f: (WORST_FIRST.index(f.verdict), np.isnan(f.effect.mean), f.effect.mean))
        others = [
            f"{f.reason}, " + (f"{f.effect} {f.unit}, " if f.effect.low < f.effect.high else "") + f.verdict
            for f in found[1:]
        ]
        return found[0]._replace(reason="; ".join([found[0].reason, *others]))

    compared = [method for predicate in predicates for method in predicate.compares]
    return Predicate("; and ".join(predicate.rule for predicate in predicates), judge, compared)
