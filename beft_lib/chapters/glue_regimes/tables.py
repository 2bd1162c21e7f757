"""Notebook 02: Table 1 over tasks and regimes, gaps over tasks, and how good each approach is at selecting."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from beft_lib import tasks
from beft_lib.chapters.cells import beside, best_term, score_cell
from beft_lib.evidence import Comparison, learning, selection_quality, stats, words
from beft_lib.tuning import methods

from ..names import TITLES


def downstream(comparisons: Sequence[Comparison], paper: Mapping) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table 1: a row a regime and validation split, with each method's score; and which cells are the best.

    Cells are the mean in percent ± half the 95 % interval over seeds, † on the term that the projection ratio selects;
    the paper's BERT-base has columns of its own. b_k and the head are one column where the head's runs stand for b_k's.
    Beside them what the best constant answer scores, and where the metric is
    not accuracy, the accuracies of b_v and of the commonest class: F1 is 0 for a model that never says yes. A setting
    in which nothing was learned says why, and has no best. A term is the best (the second frame, True) only if it
    scores higher than each of the other two with a paired interval that excludes zero. A split that the source does not
    have is "not available".
    """
    rows, best = [], []
    for comparison in comparisons:
        for validation in tasks.get(comparison.task).validation:
            on = comparison.on(validation.split)
            row: dict[str, str | int] = {
                "data": comparison.regime,
                "task": validation.title,
                "metric": comparison.metric,
            }
            row["n"] = comparison.n_train
            bold = dict.fromkeys(row, False)
            there = validation.split in comparison.splits or not comparison.results  # all failed: it was there
            theirs = paper.get(comparison.regime, {})
            place = paper["columns"].index(validation.title) if validation.title in paper["columns"] else None
            winner = best_term(on) if there and comparison.learned else None
            for method, name in _columns(comparisons).items():
                row[name] = score_cell(on, method) if there else "not available"
                bold[name] = method == winner
                if any(method in paper.get(c.regime, {}) for c in comparisons):
                    printed = place is not None and method in theirs
                    row[f"{methods.title(method)}, paper"] = f"{theirs[method][place]:.1f}" if printed else "–"
            row |= _context(on) if there and comparison.results else {}
            row["nothing learned"] = comparison.nothing_learned
            rows.append(row)
            best.append(bold)
    frame = pd.DataFrame(rows).fillna("")
    return frame, pd.DataFrame(best).reindex(columns=frame.columns, fill_value=False)


def _columns(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """The methods of Table 1 and their columns' names; b_k's is the head's where every b_k is served by its runs."""
    named = {method: methods.title(method) for method in ("value", "query", "key", "head_only", "all_biases")}
    if all(c.serves_key for c in comparisons):
        named["key"] = f"{named['key']} = {named.pop('head_only')}"
    return named


def _context(comparison: Comparison) -> dict[str, str]:
    """What a score has to be read beside: the best constant answer's, and accuracies where the metric is another."""
    found = {"constant answer": stats.number(learning.constant_score(comparison))}
    if comparison.metric != "accuracy" and "accuracy" in tasks.get(comparison.task).metrics:
        reached, commonest = comparison.by("accuracy").score("value"), learning.constant_score(comparison, "accuracy")
        found["b_v in accuracy (commonest class)"] = f"{stats.number(reached.mean)} ({stats.number(commonest)})"
    return found


def scoreboard_table(choices: pd.DataFrame) -> pd.DataFrame:
    """A row a contender: how often it selects the best term, the points it loses, Kendall's τ with the scores."""
    rows = []
    for approach, chosen in choices.groupby("approach", sort=False):
        hits = selection_quality.average(chosen.assign(hit=100 * chosen.hit), "hit").within(0, 100)
        regret = selection_quality.average(chosen, "regret")
        tau = selection_quality.average(chosen, "tau").within(-1, 1)
        rows.append(
            {
                "selection": TITLES[approach],
                "the best term, % of runs": str(hits),
                "regret, points": str(regret),
                "Kendall's τ": tau.text(2),
            }
        )
    return pd.DataFrame(rows)


def gap_table(gaps: pd.DataFrame) -> pd.DataFrame:
    """A row a task and approach: the gap b_v − b_q by regime, in score and in performance, and whether one follows."""
    rows = []
    follows = selection_quality.following(gaps)
    for (task, approach), of_task in gaps.groupby(["task", "approach"], sort=False):
        mean = of_task.groupby("regime", sort=False)[["score_gap", "performance_gap"]].mean()
        tau = stats.mean(follows[(follows.task == task) & (follows.approach == approach)].tau.dropna()).within(-1, 1)
        rows.append(
            {
                "task": tasks.title(task),
                "approach": TITLES[approach],
                "regimes": ", ".join(mean.index),
                "score gap": ", ".join(stats.significant(v, 3) for v in mean.score_gap),
                "performance gap, points": ", ".join(stats.number(v, sign=True) for v in mean.performance_gap),
                "Kendall's τ": tau.text(2),
            }
        )
    return pd.DataFrame(rows)


PAIRS = (("value", "query"), ("query", "key"), ("value", "head_only"), ("value", "all_biases"))


def improvement(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a regime and pair of methods: the mean gap over tasks, and how probable it is that the first does better.

    Settings in which neither of the two learned anything are left out and counted (`learning.says_nothing`). The gap's
    interval is over tasks where there are five or more, else over the seeds within them. The
    probability (Agarwal et al., 2021) is that of a random pair of seeds on a random one of these tasks, its interval
    over seeds.
    """
    rows = []
    for regime in dict.fromkeys(c.regime for c in comparisons):
        for first, second in PAIRS:
            both = [c for c in comparisons if c.regime == regime and {first, second} <= set(c.scores)]
            compared = [c for c in both if not learning.says_nothing(c, (first, second))]
            scores = [[c.scores[method].dropna().to_numpy() for c in compared] for method in (first, second)]
            differences = [(c.scores[first] - c.scores[second]).dropna() for c in compared]
            values = [
                {"task": c.task, "seed": s, "gap": d} for c, gaps in zip(compared, differences) for s, d in gaps.items()
            ]
            gap = selection_quality.average(pd.DataFrame(values, columns=["task", "seed", "gap"]), "gap")
            share = stats.probability_of_improvement(scores[0], scores[1])
            spread = f" [{100 * share.low:.0f}, {100 * share.high:.0f}]"
            if np.isnan(share.low) or share.low == share.high:
                spread = " (every pair of seeds)" if share.mean in (0, 1) else ""
            rows.append(
                {
                    "data": regime,
                    "tasks": len(compared),
                    "nothing learned": len(both) - len(compared),
                    "compared": f"{methods.title(first)} − {methods.title(second)}",
                    "mean gap, points": str(gap),
                    "decided for": sum((g := c.gap(first, second)).decided and g.mean > 0 for c in compared),
                    "decided against": sum((g := c.gap(first, second)).decided and g.mean < 0 for c in compared),
                    "the first does better, %": f"{100 * share.mean:.0f}{spread}" if compared else "–",
                }
            )
    return pd.DataFrame(rows)


def gap_sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """The gap between b_v and b_q in each setting, in words; of a metric that is not accuracy what it stands beside."""
    gaps = [(c, c.gap("value", "query")) for c in comparisons]
    return [
        f"{c.title}, {c.regime} data (n = {c.n_train}): {words.sentence('value', 'query', gap)}"
        + (f" ({text}.)" if (text := beside(c, ("value", "query"))) else "")
        + (f" Nothing was learned: {c.nothing_learned}." if not c.learned else "")
        for c, gap in gaps
        if not np.isnan(gap.mean)
    ]
