"""From runs to a finding: the predicates that claims are made of, and the rules of their verdicts.

A predicate takes the comparisons of one model (one a task and data regime) and returns a `Finding`, or None where the
runs it needs are not there. Its effect carries the sign: positive speaks for the claim.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from beft_lib import scoreboard, stats
from beft_lib.evidence import Comparison
from beft_lib.tuning import methods
from beft_lib.tuning.methods import ATTENTION_TERMS

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"


class Finding(NamedTuple):
    """A verdict, the effect it rests on, the effect's unit, and what was counted, in words."""

    verdict: str
    effect: stats.Estimate
    unit: str
    note: str


Predicate = Callable[[Sequence[Comparison]], Finding | None]


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


# ---------------------------------------------------------------------------------------------------- performance


def scores_higher(first: str, second: str) -> Predicate:
    """`first` scores higher than `second` in every setting, on every validation split.

    Supported if every setting's paired interval lies above zero. Contradicted if one lies below it, at a level that
    allows for the number of settings: one in twenty of them would do so by chance. The effect is the mean difference;
    its interval is over seeds and examples in a single setting, as in `scoreboard.average` in several.
    """
    judge = _in_every_setting(lambda comparison: (first, second), {first, second})

    def named(comparisons: Sequence[Comparison]) -> Finding | None:
        finding = judge(comparisons)
        return finding and finding._replace(note=f"{methods.title(first)} − {methods.title(second)}: {finding.note}")

    return named


def selection_scores_higher(approach: str) -> Predicate:
    """The term that the approach selects scores higher than the other two, in every setting (verdicts as above)."""

    def pair(comparison: Comparison) -> tuple[str, str] | None:
        if (chosen := comparison.selected(approach)) is None:
            return None
        return chosen, comparison.best([term for term in ATTENTION_TERMS if term != chosen])

    return _in_every_setting(pair, set(ATTENTION_TERMS))


def _in_every_setting(pair: Callable[[Comparison], tuple[str, str] | None], needed: set[str]) -> Predicate:
    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        settings = [c.on(split) for c in comparisons if planned(c, needed) for split in c.splits or [c.split]]
        above = below = 0
        gaps, differences = [], []
        for c in settings:
            if not needed <= set(c.scores) or (two := pair(c)) is None:
                continue  # its runs failed: it decides nothing
            gaps.append(c.gap(*two))
            above += gaps[-1].decided and gaps[-1].mean > 0
            strict = c.gap(*two, level=1 - 0.05 / len(settings))
            below += strict.decided and strict.mean < 0
            for seed, difference in (c.scores[two[0]] - c.scores[two[1]]).dropna().items():
                differences.append({"task": c.task, "seed": seed, "points": difference})
        if not differences:
            return None
        verdict = CONTRADICTED if below else SUPPORTED if above == len(settings) else INCONCLUSIVE
        if len(settings) == 1:
            return Finding(verdict, gaps[0], "points", "one setting")
        return Finding(
            verdict,
            scoreboard.average(pd.DataFrame(differences), "points"),
            "points",
            f"decided for it in {above}, against it in {below}, undecided in {len(settings) - above - below} "
            f"of {len(settings)} settings",
        )

    return judge


def planned(comparison: Comparison, needed: set[str]) -> bool:
    """Whether the setting was meant to compare these methods, however its runs ended."""
    made = {method for method, _ in comparison.specs} | ({"key"} if comparison.serves_key else set())
    return needed <= made


def loses_less(first: str, second: str) -> Predicate:
    """Following approach `first` loses fewer points against the best term than following `second`, on average."""

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        frame = scoreboard.choices(comparisons)
        if frame.empty:
            return None
        effect, note = scoreboard.saved(frame, first, second), scoreboard.settings(frame)
        chosen = [frame[frame.approach == approach].chosen.tolist() for approach in (first, second)]
        if chosen[0] == chosen[1]:
            return Finding(INCONCLUSIVE, effect, "points", f"the same choice in each of {note}")
        return Finding(by_interval(effect), effect, "points", note)

    return judge


# ------------------------------------------------------------------------------------------------------ selection


def selects(approach: str, term: str) -> Predicate:
    """The approach selects the term in every setting.

    Supported if it does so in every run, contradicted if there is a setting in which no run does, else inconclusive.
    The effect is the percentage of runs.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        rows, settings = [], []
        for c in comparisons:
            if c.ranking and c.selected(approach):
                hits = [100.0 * (c.selected(approach, seed) == term) for seed in c.ranking]
                rows += [{"task": c.task, "seed": seed, "hit": hit} for seed, hit in zip(c.ranking, hits)]
                settings.append(hits)
        if not rows:
            return None
        every = all(min(hits) == 100 for hits in settings)
        verdict = SUPPORTED if every else CONTRADICTED if any(max(hits) == 0 for hits in settings) else INCONCLUSIVE
        effect = scoreboard.average(pd.DataFrame(rows), "hit").within(0, 100)
        note = (
            f"{methods.title(term)} in every run of {sum(min(h) == 100 for h in settings)} of {len(settings)} settings"
        )
        return Finding(verdict, effect, "% of runs", note)

    return judge


def ranking_stays(approach: str) -> Predicate:
    """The approach gives b_q, b_k and b_v the same places among all bias terms in every regime of a task.

    Supported if no place ever changes by the mean over seeds; contradicted if there is a task in which places change
    in every seed; else inconclusive. The effect is the percentage of tasks in which none changes.
    """

    def places(comparison: Comparison, seed: int | None) -> tuple[int, ...]:
        found = comparison.places(approach, seed)
        return tuple(found[term].place for term in ATTENTION_TERMS)

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        tasks: dict[str, list[Comparison]] = {}
        for c in comparisons:
            if c.ranking and c.selected(approach):
                tasks.setdefault(c.task, []).append(c)
        several = [own for own in tasks.values() if len(own) > 1]
        if not several:
            return None
        stay = [len({places(c, None) for c in own}) == 1 for own in several]
        seeds = [set.intersection(*(set(c.ranking) for c in own)) for own in several]
        never = [all(len({places(c, seed) for c in own}) > 1 for seed in shared) for own, shared in zip(several, seeds)]
        verdict = SUPPORTED if all(stay) else CONTRADICTED if any(never) else INCONCLUSIVE
        effect = stats.Estimate(100 * float(np.mean(stay)), np.nan, np.nan, len(stay))
        note = f"the same places in {sum(stay)} of {len(stay)} tasks with several regimes, changed in every seed of "
        return Finding(verdict, effect, "% of tasks", note + f"{sum(never)}")

    return judge


# --------------------------------------------------------------------------------------------- over data regimes


def score_gap_follows(approach: str) -> Predicate:
    """The gap between the scores of b_v and b_q orders the regimes as the gap between their performances does.

    Kendall's τ over regimes, one value a task and seed; interval and n as in `scoreboard.average`.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        followed = scoreboard.following(scoreboard.gaps([c for c in comparisons if c.ranking]))
        own = followed[followed.approach == approach]
        if own.empty:
            return None
        effect = scoreboard.average(own, "tau").within(-1, 1)
        return Finding(by_interval(effect), effect, "Kendall's τ", f"{len(own)} sequences of regimes")

    return judge


def by_data(comparison: Comparison) -> tuple[float, str]:
    """The order of data regimes, and what to call one."""
    return comparison.n_train, f"{comparison.regime} data"


def by_rate(comparison: Comparison) -> tuple[float, str]:
    """The order of learning rates, and what to call one."""
    return comparison.learning_rate, f"learning rate {comparison.learning_rate:g}"


def gap_grows(
    sign: int,
    approach: str | None = None,
    follows: bool = True,
    along: Callable[[Comparison], tuple[float, str]] = by_data,
) -> Predicate:
    """From the least to the most data (or what settings go `along`), the gap b_v − b_q in performance grows (sign 1) or
    narrows (−1), and the gap in the approach's score does too (or, unless it `follows`, does not).

    Supported if both changes are decided as claimed; contradicted if either is decided the other way. The effect is
    the change in performance, times the sign; the change in score is in the note.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = sorted((c for c in comparisons if c.ranking and {"value", "query"} <= set(c.scores)), key=along)
        if len(own) < 2:
            return None
        few, many = own[0], own[-1]
        effect = few.gap_change(many, "value", "query")
        effect = stats.Estimate(sign * effect.mean, *sorted((sign * effect.low, sign * effect.high)), effect.n)
        note = f"from {along(few)[1]} to {along(many)[1]}"
        if approach is None:
            return Finding(by_interval(effect), effect, "points", note)
        gaps = [c.importance(approach)["value"] - c.importance(approach)["query"] for c in (few, many)]
        change = stats.mean((sign * (gaps[1] - gaps[0])).dropna().to_numpy())
        verdicts = [by_interval(effect), by_interval(change)]
        if not follows and verdicts[1] != INCONCLUSIVE:
            verdicts[1] = CONTRADICTED if verdicts[1] == SUPPORTED else SUPPORTED
        verdict = CONTRADICTED if CONTRADICTED in verdicts else INCONCLUSIVE if INCONCLUSIVE in verdicts else SUPPORTED
        spread = "" if np.isnan(change.low) else f" [{change.low:.3g}, {change.high:.3g}]"
        return Finding(verdict, effect, "points", f"{note}; change in score {change.mean:.3g}{spread}")

    return judge


def by_interval(effect: stats.Estimate) -> str:
    """Supported above zero, contradicted below it, inconclusive if the interval holds it or does not exist."""
    if not effect.decided:
        return INCONCLUSIVE
    return SUPPORTED if effect.mean > 0 else CONTRADICTED
