"""Predicates about what an approach selects, and whether its ranking stays.

They rest on the runs that tune all biases, whose scores the approach ranks: a setting counts where such runs learned
something, whatever a term alone did there (`RANKED`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from beft_lib import importance
from beft_lib.evidence import stats
from beft_lib.evidence.claims.finding import (
    CONTRADICTED,
    LEANS,
    SUPPORTED,
    Finding,
    Predicate,
    by_interval,
    lean,
)
from beft_lib.evidence.comparison import Comparison
from beft_lib.tuning import methods
from beft_lib.tuning.methods import ATTENTION_TERMS

RANKED = ("all_biases",)
MOSTLY = 0.8  # Kendall's τ from which a ranking is called mostly the same: a tenth of the pairs changed places


def selects(approach: str, term: str) -> Predicate:
    """The approach selects the term in every setting.

    Supported if it does so in every run, contradicted if there is a setting in which no run does, else a lean. The
    effect is the percentage of runs, with Clopper and Pearson's interval.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = [c for c in comparisons if c.ranking and c.selected(approach)]
        hits = [[c.selected(approach, seed) == term for seed in c.ranking] for c in own]
        if not own:
            return None
        every = sum(all(h) for h in hits)
        verdict = SUPPORTED if every == len(own) else CONTRADICTED if not all(map(any, hits)) else LEANS
        effect = _percent(stats.share(sum(map(sum, hits)), sum(map(len, hits))))
        reason = f"{methods.title(term)} in every run of {every} of {len(own)} settings"
        if none := sum(not any(h) for h in hits):
            reason += f", in no run of {none}"
        what = f"{approach} selects {term}"
        return Finding(verdict, effect, "% of runs", reason, "runs", rests_on=tuple(own), methods=RANKED, what=what)

    rule = f"{methods.title(term)} has the highest {approach} score of b_q, b_k, b_v in every run"
    return Predicate(rule, judge, RANKED)


def _percent(estimate: stats.Estimate) -> stats.Estimate:
    return stats.Estimate(100 * estimate.mean, 100 * estimate.low, 100 * estimate.high, estimate.n)


def ranking_stays(approach: str) -> Predicate:
    """The approach gives b_q, b_k and b_v the same places among all bias terms in every regime of a task.

    Supported if no place ever changes by the mean over seeds; contradicted if there is a task in which places change
    in every seed; else a lean. The effect is the percentage of tasks in which none changes.
    """

    def verdict(stay: list[bool], change: list[bool], several: list[list[Comparison]]) -> str:
        return SUPPORTED if all(stay) else CONTRADICTED if any(change) else LEANS

    rule = f"places of b_q, b_k, b_v by {approach} are the same in every regime of a task"
    return _over_regimes(approach, rule, verdict, stays=True)


def ranking_changes(approach: str, regimes: int) -> Predicate:
    """The approach gives b_q, b_k and b_v other places among all bias terms as a task has more data.

    Supported if in each task places change in every seed; contradicted if there is a task in which none changes by the
    mean over seeds, with all of its `regimes`: with fewer it may still change in the others, and that is a lean. The
    effect is the percentage of tasks in which a place changes.
    """

    def verdict(stay: list[bool], change: list[bool], several: list[list[Comparison]]) -> str:
        never = any(same and len(own) >= regimes for same, own in zip(stay, several))
        return CONTRADICTED if never else SUPPORTED if all(change) and not any(stay) else LEANS

    rule = f"places of b_q, b_k, b_v by {approach} change with the regime in every task"
    return _over_regimes(approach, rule, verdict, stays=False)


def _over_regimes(
    approach: str,
    rule: str,
    verdict: Callable[[list[bool], list[bool], list[list[Comparison]]], str],
    stays: bool,
) -> Predicate:
    """From the tasks in which no place changes by the mean, those in which one changes in every seed, and their
    settings, to a verdict. The effect is the percentage of tasks in which places stay, or of those in which not."""

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
        change = [all(len({places(c, s) for c in own}) > 1 for s in shared) for own, shared in zip(several, seeds)]
        effect = stats.Estimate(100 * float(np.mean([same == stays for same in stay])), np.nan, np.nan, len(stay))
        reason = f"the same places in {sum(stay)} of {len(stay)} tasks with several regimes, changed in every seed of "
        return Finding(
            verdict(stay, change, several),
            effect,
            "% of tasks",
            f"{reason}{sum(change)}",
            "tasks",
            rests_on=tuple(c for own in several for c in own),
            methods=RANKED,
            what=f"{approach} {'keeps' if stays else 'changes'} places",
        )

    return Predicate(rule, judge, RANKED)


def _along(comparison: Comparison, approach: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Of every ranking run that has them: the scores at its start, and those along it."""
    found = []
    for seed, result in comparison.ranking.items():
        start = comparison.importance(approach).loc[seed].to_dict()
        looks = [
            {term: np.nan if (score := s.scores[approach].get(term)) is None else score for term in start}
            for s in result.trajectory
            if approach in s.scores
        ]
        if looks:
            found.append((start, looks))
    return found


def ranking_stays_along(approach: str) -> Predicate:
    """An approach orders b_q, b_k and b_v alike at every moment of a run.

    Supported if it does in every run, contradicted if in none. The effect is the percentage of such runs.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = [c for c in comparisons if _along(c, approach)]
        stay = []
        for start, looks in (run for c in own for run in _along(c, approach)):
            orders = [tuple(r.term for r in importance.rank(s, among=ATTENTION_TERMS)) for s in (start, *looks)]
            stay.append(len(set(orders)) == 1)
        if not stay:
            return None
        verdict = SUPPORTED if all(stay) else LEANS if any(stay) else CONTRADICTED
        reason = f"the same order throughout in {sum(stay)} of {len(stay)} runs"
        effect = _percent(stats.share(sum(stay), len(stay)))
        what = f"{approach} keeps the order along a run"
        return Finding(verdict, effect, "% of runs", reason, "runs", rests_on=tuple(own), methods=RANKED, what=what)

    rule = f"the order of b_q, b_k, b_v by {approach} is the same at every look along each run"
    return Predicate(rule, judge, RANKED)


def all_terms_stay_along(approach: str) -> Predicate:
    """An approach ranks *all* bias terms mostly alike before a run and at its end: Kendall's τ is above `MOSTLY`.

    Supported if the interval over runs lies above, contradicted if below. The effect is τ.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = [c for c in comparisons if _along(c, approach)]
        agreement = [
            kendalltau(list(start.values()), list(looks[-1].values()), nan_policy="omit").statistic
            for c in own
            for start, looks in _along(c, approach)
        ]
        if not agreement:
            return None
        tau = stats.mean(agreement).within(-1, 1)
        verdict = by_interval(tau._replace(mean=tau.mean - MOSTLY, low=tau.low - MOSTLY, high=tau.high - MOSTLY))
        reason = f"τ of all bias terms' scores, start against end; mostly the same from {MOSTLY:g} on"
        if verdict == LEANS:
            reason += f", and {lean(tau, MOSTLY)}"
        what = f"{approach} along a run"
        return Finding(verdict, tau, "Kendall's τ", reason, "runs", rests_on=tuple(own), methods=RANKED, what=what)

    rule = f"Kendall's τ of all terms' {approach} scores, start against end, is above {MOSTLY:g}"
    return Predicate(rule, judge, RANKED)
