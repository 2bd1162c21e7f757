"""Predicates about what an approach selects, and whether its ranking stays."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from beft_lib import importance
from beft_lib.evidence import selection_quality, stats
from beft_lib.evidence.claims.finding import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Finding, Predicate
from beft_lib.evidence.comparison import Comparison
from beft_lib.tuning import methods
from beft_lib.tuning.methods import ATTENTION_TERMS


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
        effect = selection_quality.average(pd.DataFrame(rows), "hit").within(0, 100)
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


def ranking_stays_along(approach: str) -> Predicate:
    """An approach orders b_q, b_k and b_v alike at every moment of a run.

    Supported if it does in every run, contradicted if in none. The effect is the percentage of such runs; the note
    has Kendall's τ of all terms' scores before tuning and at the end.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        stay, agreement = [], []
        for c in comparisons:
            for seed, result in c.ranking.items():
                start = c.importance(approach).loc[seed].to_dict()
                looks = [
                    {term: np.nan if (found := s.scores[approach].get(term)) is None else found for term in start}
                    for s in result.trajectory
                    if approach in s.scores
                ]
                if not looks:
                    continue
                orders = [tuple(r.term for r in importance.rank(s, among=ATTENTION_TERMS)) for s in (start, *looks)]
                stay.append(100.0 * (len(set(orders)) == 1))
                agreement.append(
                    kendalltau(list(start.values()), list(looks[-1].values()), nan_policy="omit").statistic
                )
        if not stay:
            return None
        verdict = SUPPORTED if min(stay) == 100 else CONTRADICTED if max(stay) == 0 else INCONCLUSIVE
        tau = stats.mean(agreement).within(-1, 1)
        note = f"the same order throughout in {sum(s == 100 for s in stay)} of {len(stay)} runs; over all terms, start "
        return Finding(verdict, stats.mean(stay).within(0, 100), "% of runs", f"{note}against end: τ {tau.text(2)}")

    return judge
