"""From runs to a finding: the predicates that claims are made of, and the rules of their verdicts.

A predicate takes the comparisons of one model (one a task and data regime) and returns a `Finding`, or None where the
runs it needs are not there. Its effect carries the sign: positive speaks for the claim.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from beft_lib import methods, scoreboard, stats
from beft_lib.evidence import Comparison
from beft_lib.methods import ATTENTION_TERMS

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"


class Finding(NamedTuple):
    """A verdict, the effect it rests on, the effect's unit, and what was counted, in words."""

    verdict: str
    effect: stats.Estimate
    unit: str
    note: str


Predicate = Callable[[Sequence[Comparison]], Finding | None]


def within(predicate: Predicate, tasks: Sequence[str], regimes: Sequence[str]) -> Predicate:
    """The predicate over the settings of these tasks and regimes.

    One seed decides nothing, and a task that was not run leaves a claim about all of them unsupported: such verdicts
    become inconclusive, and the note says why. It also names the regimes that were not run.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = [c for c in comparisons if c.task in tasks and c.regime in regimes]
        if (finding := predicate(own)) is None:
            return None
        reasons = []
        if any(len(c.scores) < 2 for c in own):
            reasons.append("a setting has one seed")
        if (absent := [task for task in tasks if task not in {c.task for c in own}]) and finding.verdict == SUPPORTED:
            reasons.append("not run: " + ", ".join(absent))
        verdict = INCONCLUSIVE if reasons else finding.verdict
        if without := [regime for regime in regimes if regime not in {c.regime for c in own}]:
            reasons.append(f"no {' or '.join(without)} data")
        return finding._replace(verdict=verdict, note="; ".join([finding.note, *reasons]))

    return judge


def scores_higher(first: str, second: str) -> Predicate:
    """`first` scores higher than `second` in every setting.

    Supported if every setting's paired interval lies above zero, contradicted if one lies below it. The effect is the
    mean difference; its interval is over seeds and examples in a single setting, over tasks in several.
    """
    return _in_every_setting(lambda comparison: (first, second))


def selection_scores_higher(approach: str) -> Predicate:
    """The term that the approach selects scores higher than the other two, in every setting (verdicts as above)."""

    def pair(comparison: Comparison) -> tuple[str, str] | None:
        if (chosen := comparison.selected(approach)) is None:
            return None
        return chosen, comparison.best([term for term in ATTENTION_TERMS if term != chosen])

    return _in_every_setting(pair)


def _in_every_setting(pair: Callable[[Comparison], tuple[str, str] | None]) -> Predicate:
    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        gaps, values = [], {}
        for comparison in comparisons:
            if not _planned(comparison):
                continue
            if not set(ATTENTION_TERMS) <= set(comparison.scores) or (two := pair(comparison)) is None:
                gaps.append(stats.mean([]))  # its runs failed: it decides nothing
                continue
            gaps.append(comparison.gap(*two))
            difference = (comparison.scores[two[0]] - comparison.scores[two[1]]).dropna()
            values.setdefault(comparison.task, []).append(difference)
        if not values:
            return None
        above, below = (sum(g.decided and np.sign(g.mean) == sign for g in gaps) for sign in (1, -1))
        verdict = CONTRADICTED if below else SUPPORTED if above == len(gaps) else INCONCLUSIVE
        if len(gaps) == 1:
            return Finding(verdict, gaps[0], "points", "one setting")
        effect = stats.over_groups([np.concatenate(own) for own in values.values()])
        return Finding(verdict, effect, "points", _tally(above, below, len(gaps)))

    return judge


def _planned(comparison: Comparison) -> bool:
    """Whether the setting was meant to compare b_q, b_k and b_v, however its runs ended."""
    methods_run = {method for method, _ in comparison.specs}
    return {"value", "query"} <= methods_run and ("key" in methods_run or comparison.serves_key)


def selects(approach: str, term: str) -> Predicate:
    """The approach selects the term in every setting.

    Supported if it does so in every single run, contradicted if in some setting the mean over seeds selects another,
    inconclusive if only single runs do. The effect is the percentage of runs.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = [c for c in comparisons if c.ranking and c.selected(approach)]
        if not own:
            return None
        shares, settings = {}, []
        for comparison in own:
            hits = [100.0 * (comparison.selected(approach, seed) == term) for seed in comparison.ranking]
            shares.setdefault(comparison.task, []).extend(hits)
            settings.append(comparison.selected(approach) == term)
        effect = stats.over_groups([np.array(hits) for hits in shares.values()])
        single = all(value == 100 for hits in shares.values() for value in hits)
        verdict = SUPPORTED if single else INCONCLUSIVE if all(settings) else CONTRADICTED
        note = f"{methods.title(term)} in {sum(settings)} of {len(settings)} settings"
        return Finding(verdict, effect, "% of runs", note)

    return judge


def ranking_stays(approach: str) -> Predicate:
    """The approach gives b_q, b_k and b_v the same places among all bias terms in every regime of a task.

    Supported if no place ever changes, contradicted if one does (places by the mean over seeds). The effect is the
    percentage of tasks in which none does.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        tasks = {}
        for comparison in comparisons:
            if comparison.ranking and comparison.selected(approach):
                places = comparison.places(approach)
                tasks.setdefault(comparison.task, []).append(tuple(places[t].place for t in ATTENTION_TERMS))
        several = {task: places for task, places in tasks.items() if len(places) > 1}
        if not several:
            return None
        same = [100.0 * (len(set(places)) == 1) for places in several.values()]
        verdict = SUPPORTED if all(same) else CONTRADICTED
        note = f"the same places in {sum(map(bool, same))} of {len(same)} tasks with several regimes"
        return Finding(verdict, stats.Estimate(float(np.mean(same)), np.nan, np.nan, len(same)), "% of tasks", note)

    return judge


def score_gap_follows(approach: str) -> Predicate:
    """The gap between the scores of b_v and b_q orders the regimes as the gap between their performances does.

    Kendall's τ over regimes, one value a task and seed. One task: the interval is over seeds; several: over tasks.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        followed = scoreboard.following(scoreboard.gaps([c for c in comparisons if c.ranking]))
        own = followed[followed.approach == approach]
        if own.empty:
            return None
        effect = scoreboard.average(own, "tau")
        return Finding(by_interval(effect), effect, "Kendall's τ", f"{len(own)} sequences of regimes")

    return judge


def loses_less(first: str, second: str) -> Predicate:
    """Following approach `first` loses fewer points against the best term than following `second`, on average."""

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        frame = scoreboard.choices(comparisons)
        if frame.empty:
            return None
        effect = scoreboard.saved(frame, first, second)
        return Finding(by_interval(effect), effect, "points", scoreboard.settings(frame))

    return judge


def by_interval(effect: stats.Estimate) -> str:
    """Supported above zero, contradicted below it, inconclusive if the interval holds it or does not exist."""
    if not effect.decided:
        return INCONCLUSIVE
    return SUPPORTED if effect.mean > 0 else CONTRADICTED


def _tally(above: int, below: int, total: int) -> str:
    return f"decided for it in {above}, against it in {below}, undecided in {total - above - below} of {total} settings"
