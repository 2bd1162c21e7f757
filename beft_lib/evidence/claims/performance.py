"""Predicates about scores: one method above another, one approach above another, two methods alike."""

from collections.abc import Callable, Sequence

import numpy as np

from beft_lib.evidence import fixed, learning, stats
from beft_lib.evidence.claims.finding import (
    CONTRADICTED,
    LEANS,
    MARGIN,
    NO_DIFFERENCE,
    NOTHING_LEARNED,
    SUPPORTED,
    Finding,
    Predicate,
    about,
    by_interval,
    lean,
    planned,
)
from beft_lib.evidence.comparison import Comparison
from beft_lib.evidence.fixed import Pair
from beft_lib.tuning import methods
from beft_lib.tuning.methods import ATTENTION_TERMS


def scores_higher(first: str, second: str, at_large: bool = False) -> Predicate:
    """`first` scores higher than `second` in every setting, on every validation split.

    Supported if every setting's paired interval lies above zero. Contradicted if one lies below it, at a level that
    allows for the number of settings: one in twenty of them would do so by chance. No difference if every setting's
    interval lies within ± `MARGIN`, else a lean. The effect is the mean difference over the settings, which are fixed;
    `at_large`: the claim speaks of tasks like these, so that the interval over tasks is given too.
    """
    rule = f"{methods.title(first)} − {methods.title(second)} is above 0 in each setting, seeds and examples drawn anew"
    judge = _in_every_setting(lambda comparison: (first, second), {first, second}, at_large)
    return Predicate(rule, judge, (first, second))


def selection_scores_higher(approach: str) -> Predicate:
    """The term that the approach selects scores higher than the other two, in every setting (verdicts as above)."""

    def pair(comparison: Comparison) -> tuple[str, str] | None:
        if (chosen := comparison.selected(approach)) is None:
            return None
        other = comparison.best([term for term in ATTENTION_TERMS if term != chosen])
        return None if other is None else (chosen, other)

    rule = "the selected term − the better of the other two is above 0 in each setting, seeds and examples drawn anew"
    return Predicate(rule, _in_every_setting(pair, set(ATTENTION_TERMS)))


def _in_every_setting(
    pair: Callable[[Comparison], tuple[str, str] | None], needed: set[str], at_large: bool = False
) -> Callable[[Sequence[Comparison]], Finding | None]:
    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = [c for c in comparisons if planned(c, needed)]
        settings = [c.on(split) for c in own for split in c.splits or [c.split]]
        asked = [(c, two) for c in settings if needed <= set(c.scores) and (two := pair(c)) is not None]
        asked = [(c, two) for c, two in asked if Pair(c, *two).seeds]  # the others' runs failed: they decide nothing
        if not asked:
            return None
        pairs = [Pair(c, *two) for c, two in asked]
        gaps = [c.gap(*two) for c, two in asked]
        strict = [c.gap(*two, level=1 - 0.05 / len(settings)) for c, two in asked]
        below = sum(gap.decided and gap.mean < 0 for gap in strict)
        above = sum(gap.decided and gap.mean > 0 for gap in gaps)
        alike = [by_interval(gap, MARGIN) == NO_DIFFERENCE for gap in gaps]
        complete = len(pairs) == len(settings)
        effect = fixed.mean_gap(pairs)
        if below:
            verdict = CONTRADICTED
        elif above == len(settings):
            verdict = SUPPORTED
        else:
            verdict = NO_DIFFERENCE if all(alike) and complete else LEANS
        compared = {two for _, two in asked}
        name = " − ".join(map(methods.title, compared.pop())) if len(compared) == 1 else "the selected − the next"
        if len(settings) == 1:
            reason = f"{name}: {about(effect, verdict)}"
        else:
            reason = _counted(name, gaps, above, below, len(settings), effect, verdict)
        if at_large and (drawn := fixed.over_tasks(pairs)) is not None:
            reason += f"; over tasks like these {drawn} ({drawn.n} tasks)"
        return Finding(
            verdict,
            effect,
            "points",
            reason,
            rests_on=tuple(dict.fromkeys(p.comparison for p in pairs)),
            spread=stats.spread(*fixed.strata(pairs)),
            methods=tuple(dict.fromkeys(m for _, two in asked for m in two)),
        )

    return judge


def _counted(
    name: str,
    gaps: Sequence[stats.Estimate],
    above: int,
    below: int,
    settings: int,
    effect: stats.Estimate,
    verdict: str,
) -> str:
    """In how many settings a gap is decided either way, and of the rest, which way it points."""
    undecided = settings - above - below
    signs = [np.sign(round(gap.mean, 9)) for gap in gaps]
    said = f"{name}: decided for it in {above}, against it in {below} of {settings}"
    if undecided:
        positive, zero, negative = (sum(s == sign for s in signs) for sign in (1, 0, -1))
        said += f"; positive in {positive}, zero in {zero}, negative in {negative}"
    if verdict == LEANS and effect.decided:
        said += f"; of their mean {about(effect, by_interval(effect))}"
    elif verdict == LEANS:
        said += f"; the mean {lean(effect)}"
    return said


def loses_less(first: str, second: str) -> Predicate:
    """Following approach `first` loses fewer points against the best term than following `second`, on average.

    The effect is the difference in score of what each chose, run by run, over the settings, which are fixed. The claim
    speaks of tasks at large: the interval over tasks is given too.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        pairs = [p for c in comparisons if (p := _chosen(c, first, second)).seeds]
        if not pairs:
            return None
        runs = sum(len(p.seeds) for p in pairs)
        alike = sum(p.first[seed] == p.second[seed] for p in pairs for seed in p.seeds)
        effect = fixed.mean_gap(pairs)
        verdict = by_interval(effect, MARGIN)
        if alike == runs:
            verdict, reason = NO_DIFFERENCE, f"the same choice in each of {runs} runs"
        else:
            reason = f"another choice in {runs - alike} of {runs} runs: {about(effect, verdict)}"
        if (drawn := fixed.over_tasks(pairs)) is not None and alike < runs:
            reason += f"; over tasks like these {drawn} ({drawn.n} tasks)"
        own = tuple(p.comparison for p in pairs)
        spread = stats.spread(*fixed.strata(pairs))
        return Finding(verdict, effect, "points", reason, rests_on=own, spread=spread, methods=ATTENTION_TERMS)

    title = f"score of the term that {first} selects − of the term that {second} selects"
    return Predicate(f"{title}, mean over settings, is above 0", judge)


def _chosen(comparison: Comparison, first: str, second: str) -> Pair:
    """What either approach chose, by seed, where both chose."""
    seeds = [s for s in comparison.ranking if s in comparison.scores.index]
    chosen = {s: (comparison.selected(first, s), comparison.selected(second, s)) for s in seeds}
    both = {s: (one, other) for s, (one, other) in chosen.items() if one is not None and other is not None}
    return Pair(comparison, {s: one for s, (one, _) in both.items()}, {s: other for s, (_, other) in both.items()})


def comparable(first: str, second: str, majority: bool = False) -> Predicate:
    """`first` scores at most `MARGIN` points less than `second`, in every setting, or in the `majority` of them.

    A setting is comparable if the interval of its gap lies above −`MARGIN`, and is not if it lies below, at a level
    that allows for the number of settings. Two methods that both learned nothing are comparable and prove nothing:
    where neither is decidedly better than the head alone (or the untuned decoder), the setting does not count.
    Supported if all settings are comparable (more than half); contradicted if one is not (half or more). The effect is
    the smallest gap (the mean one), as it is. Raises `UserError` for an unknown method.
    """
    for method in (first, second):
        methods.check(method)

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = [c for c in comparisons if planned(c, {first, second})]
        gaps = {c: c.gap(first, second) for c in own if {first, second} <= set(c.scores)}
        gaps = {c: gap for c, gap in gaps.items() if not np.isnan(gap.mean)}
        if not gaps:
            return None
        idle = [c for c in gaps if _neither(c, first, second)]
        counted = {c: gap for c, gap in gaps.items() if c not in idle} or gaps
        strict = {c: c.gap(first, second, level=1 - 0.05 / len(own)) for c in counted}
        below = sum(gap.n > 1 and gap.high < -MARGIN for gap in strict.values())
        above = sum(gap.n > 1 and gap.low > -MARGIN for gap in counted.values())
        half = len(own) / 2
        at = min(counted, key=lambda c: counted[c].mean)
        pairs = [Pair(c, first, second) for c in (counted if majority else [at])]
        effect = fixed.mean_gap(pairs)
        if below >= half if majority else below:
            verdict = CONTRADICTED
        elif len(idle) == len(gaps):
            verdict = NOTHING_LEARNED
        else:
            verdict = SUPPORTED if above > (half if majority else len(own) - 1) else LEANS
        reason = f"{methods.title(first)} − {methods.title(second)}"
        if len(own) > 1:
            reason += f", {'mean' if majority else f'smallest in {at.title}'}"
            reason += f": above −{MARGIN:g} in {above}, below it in {below} of {len(own)} settings"
        else:
            reason += f": comparable if above −{MARGIN:g}"
        if verdict == LEANS:
            reason += f", and {lean(effect, -MARGIN)}"
        if idle:
            control = "the untuned model" if idle[0].prompts else "the head alone"
            reason += f"; neither is decidedly better than {control} in {len(idle)} of {len(gaps)}"
        spread = stats.spread(*fixed.strata(pairs))
        return Finding(
            verdict,
            effect,
            "points",
            reason,
            rests_on=tuple(p.comparison for p in pairs),
            spread=spread,
            methods=(first, second),
            against=-MARGIN,
        )

    title = f"{methods.title(first)} − {methods.title(second)}"
    where = "in most settings" if majority else "in each setting"
    return Predicate(f"{title} is above −{MARGIN:g} points {where}, seeds and examples drawn anew", judge)


def _neither(comparison: Comparison, first: str, second: str) -> bool:
    """Whether the setting has its control, and neither method is decidedly better than that; one seed cannot tell."""
    if not planned(comparison, {comparison.control}) or len(comparison.scores) < 2:
        return False
    return not any(learning.beats_control(comparison, method) for method in (first, second))
