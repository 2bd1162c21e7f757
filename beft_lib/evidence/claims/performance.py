"""Predicates about scores: one method above another, one approach above another, two methods alike."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from beft_lib.evidence import selection_quality, stats
from beft_lib.evidence.claims.finding import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    Finding,
    Predicate,
    by_interval,
    planned,
)
from beft_lib.evidence.comparison import Comparison
from beft_lib.tuning import methods
from beft_lib.tuning.methods import ATTENTION_TERMS

MARGIN = 3.0  # points: by how much less a method may score and still be called comparable


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
            selection_quality.average(pd.DataFrame(differences), "points"),
            "points",
            f"decided for it in {above}, against it in {below}, undecided in {len(settings) - above - below} "
            f"of {len(settings)} settings",
        )

    return judge


def loses_less(first: str, second: str) -> Predicate:
    """Following approach `first` loses fewer points against the best term than following `second`, on average."""

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        frame = selection_quality.choices(comparisons)
        if frame.empty:
            return None
        effect, note = selection_quality.saved(frame, first, second), selection_quality.settings(frame)
        chosen = [frame[frame.approach == approach].chosen.tolist() for approach in (first, second)]
        if chosen[0] == chosen[1]:
            return Finding(INCONCLUSIVE, effect, "points", f"the same choice in each of {note}")
        return Finding(by_interval(effect), effect, "points", note)

    return judge


def comparable(first: str, second: str) -> Predicate:
    """`first` scores at most `MARGIN` points less than `second`, in every setting.

    Supported if every interval of the gap lies above −`MARGIN`, contradicted if one lies below it. Two methods that
    both learned nothing are comparable and prove nothing: where neither is decidedly better than the head alone (or
    the untuned decoder), the verdict is inconclusive, and so it is where runs failed. The effect is the smallest gap,
    plus `MARGIN`.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = [c for c in comparisons if planned(c, {first, second})]
        gaps = {c: c.gap(first, second) for c in own if {first, second} <= set(c.scores)}
        gaps = {c: gap for c, gap in gaps.items() if not np.isnan(gap.mean)}
        if not gaps:
            return None
        smallest = min(gaps.values(), key=lambda gap: gap.mean)
        note = f"{methods.title(first)} − {methods.title(second)} {smallest}, comparable if above −{MARGIN:g}"
        above = all(gap.n > 1 and gap.low > -MARGIN for gap in gaps.values()) and len(gaps) == len(own)
        below = any(gap.n > 1 and gap.high < -MARGIN for gap in gaps.values())
        verdict = CONTRADICTED if below else SUPPORTED if above else INCONCLUSIVE
        controlled = [c for c in gaps if planned(c, {c.control})]
        idle = [c for c in controlled if not _learned(c, first) and not _learned(c, second)]
        if verdict == SUPPORTED and idle:
            control = "the untuned model" if idle[0].prompts else "the head alone"
            verdict, note = INCONCLUSIVE, f"{note}; neither is decidedly better than {control}"
        effect = stats.Estimate(*(MARGIN + value for value in smallest[:3]), smallest.n)
        return Finding(verdict, effect, f"points above −{MARGIN:g}", note)

    return judge


def _learned(comparison: Comparison, method: str) -> bool:
    """Whether a method is decidedly better than the head that trains beside it, or than the untuned decoder."""
    return by_interval(comparison.gap(method, comparison.control)) == SUPPORTED
