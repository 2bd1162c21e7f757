"""Predicates beyond a comparison of methods in one setting: combinations, equivalence, merging, rates, epochs, cost.

As in `predicates`, each returns a `Finding` or None, and a positive effect speaks for the claim.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from beft_lib import importance, merging, stats
from beft_lib.claims.predicates import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    Finding,
    Predicate,
    by_interval,
    by_rate,
    planned,
)
from beft_lib.evidence import Comparison
from beft_lib.experiments import efficiency
from beft_lib.runs.timing import Timing
from beft_lib.tuning import methods
from beft_lib.tuning.methods import ATTENTION_TERMS

MARGIN = 3.0  # points: by how much less a method may score and still be called comparable
DISSIMILAR = 0.5  # the cosine of 60°: what lies closer than that is not called dissimilar


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


# ---------------------------------------------------------------------------------------------------- equivalence


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


# ---------------------------------------------------------------------------------------------------- cost


def is_small(share: float, times: float) -> Predicate:
    """b_v is `share` % of the model's parameters, rounded to as many digits, and all biases are about `times` as many.

    An exact count: supported if both hold (within 15 % of `times`), else contradicted. The effect is the share.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        costs = {method: result.cost for c in comparisons for (method, _), result in c.results.items()}
        if not {"value", "all_biases"} <= set(costs):
            return None
        value, every = costs["value"]["trainable"], costs["all_biases"]["trainable"]
        found, ratio = 100 * value / costs["value"]["parameters"], every / value
        holds = f"{found:.2f}" == f"{share:.2f}" and abs(ratio / times - 1) <= 0.15
        note = (
            f"b_v {value:,} scalars, all biases {every:,}: {ratio:.1f} times as many (the paper divides rounded shares)"
        )
        verdict = SUPPORTED if holds else CONTRADICTED
        return Finding(verdict, stats.Estimate(found, np.nan, np.nan, 1), "% of the parameters", note)

    return judge


def trains_fewer(first: str, second: str, times: float) -> Predicate:
    """`first` trains at most one `times`-th of the scalars of `second` (within 15 %).

    An exact count: supported or contradicted. The effect is how many times as many `second` trains, minus 1.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        counts = {method: result.cost["trainable"] for c in comparisons for (method, _), result in c.results.items()}
        if not {first, second} <= set(counts):
            return None
        ratio = counts[second] / counts[first]
        note = (
            f"{methods.title(first)} {counts[first]:,} scalars, {methods.title(second)} {counts[second]:,}: "
            f"{ratio:.1f} times as many"
        )
        verdict = SUPPORTED if ratio >= 0.85 * times else CONTRADICTED
        return Finding(verdict, stats.Estimate(ratio - 1, np.nan, np.nan, 1), "times more", note)

    return judge


def is_faster(method: str, others: Sequence[str], task: str) -> Callable[[Sequence[Timing]], Finding | None]:
    """Tuning by the method takes less time in the training loop than by each of the others, turn by turn.

    The effect is the smallest of the others' times over the method's, minus 1, in percent.
    """

    def judge(timings: Sequence[Timing]) -> Finding | None:
        own = [timing for timing in timings if timing.task == task and {method, *others} <= set(timing.methods)]
        if not own:
            return None
        found = {other: own[0].ratio(other, method, lambda turn: turn.loop_seconds) for other in others}
        percent = {o: stats.Estimate(*(100 * (v - 1) for v in r[:3]), r.n) for o, r in found.items()}
        verdicts = {by_interval(estimate) for estimate in percent.values()}
        verdict = CONTRADICTED if CONTRADICTED in verdicts else SUPPORTED if verdicts == {SUPPORTED} else INCONCLUSIVE
        note = "loop over b_v's: " + ", ".join(f"{methods.title(o)} {r.text(2)}" for o, r in found.items())
        return Finding(verdict, min(percent.values(), key=lambda e: e.mean), "% more time than b_v at least", note)

    return judge


# ---------------------------------------------------------------------------------------------------- merging


def lie_apart(comparisons: Sequence[Comparison]) -> Finding | None:
    """The b_v tuned on two tasks have a cosine below `DISSIMILAR`, with the whole interval over seeds.

    Inconclusive unless, for either task, the changes of two seeds of *that* task are decidedly closer than those of the
    two tasks: else the dissimilarity says nothing of tasks. The effect is `DISSIMILAR` minus the cosine of the tuned
    b_v.
    """

    def found(variant: str, *arms: str) -> pd.DataFrame:
        own = [c for c in comparisons if c.variant == variant]
        return merging.alignments([s for c in own for (arm, _), s in c.specs.items() if not arms or arm in arms])

    both = found(efficiency.TASK_HEADS, efficiency.MERGED)
    cosine = merging.cosine(both, of="tuned")
    if np.isnan(cosine.mean):
        return None
    effect = stats.Estimate(DISSIMILAR - cosine.mean, DISSIMILAR - cosine.high, DISSIMILAR - cosine.low, cosine.n)
    closer = merging.closer(found(efficiency.KIN), found(efficiency.APART))
    note = (
        f"cosine of the tuned b_v {cosine.text(2)}, {merging.angle(cosine.mean):.1f}°; of their changes "
        f"{merging.cosine(both).text(2)}, random directions 0 ± {merging.null(both):.2f}; two seeds of one task are "
        "closer than of two tasks by " + (", ".join(f"{t} {e.text(2)}" for t, e in closer.items()) or "–")
    )
    verdict = by_interval(effect)
    if verdict == SUPPORTED and {by_interval(estimate) for estimate in closer.values()} != {SUPPORTED}:
        verdict = INCONCLUSIVE
    return Finding(verdict, effect, f"{DISSIMILAR:g} minus the cosine", note)


# ---------------------------------------------------------------------------------------------------- rates and epochs


def score_rises_with(approach: str, method: str) -> Predicate:
    """From the lowest to the highest learning rate a term's importance rises, and tuning it alone scores higher.

    Supported if both changes are decided upwards, contradicted if the performance falls while the importance rises.
    The effect is the change in performance.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = sorted((c for c in comparisons if c.ranking and method in c.scores), key=by_rate)
        if len(own) < 2 or own[0].learning_rate == own[-1].learning_rate:
            return None
        low, high = own[0], own[-1]
        effect = low.change(high, method)
        scores = [c.importance(approach)[method] for c in (low, high)]
        divergence = stats.mean((scores[1] - scores[0]).dropna().to_numpy())
        verdict = by_interval(effect) if by_interval(divergence) == SUPPORTED else INCONCLUSIVE
        note = f"from {by_rate(low)[1]} to {by_rate(high)[1]} the score changes by {divergence.text(2)}"
        if {"head_only"} <= set(low.scores) & set(high.scores):
            note += f", the head alone by {low.change(high, 'head_only')} points"
        return Finding(verdict, effect, "points", note)

    return judge


def improves_with_epochs(method: str) -> Predicate:
    """The second half of the epochs scores higher than the first. The effect is the difference, over seeds."""

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        found = [(c, own) for c in comparisons if len(own := c.gains(method))]
        if not found:
            return None
        comparison, own = found[0]
        effect, epochs = stats.mean(own), comparison.curve(method).shape[1]
        note = f"second half of {epochs} epochs against the first, over seeds on one evaluation set"
        if len(head := comparison.gains("head_only")):
            note += f"; the head alone gains {stats.mean(head)}"
        return Finding(by_interval(effect), effect, "points", note)

    return judge


def gains_less_at_the_low_rate(method: str) -> Predicate:
    """More epochs help less at the lowest learning rate than at the highest: the gains' difference, seed by seed."""

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = sorted((c for c in comparisons if len(c.gains(method))), key=by_rate)
        if len(own) < 2 or own[0].learning_rate == own[-1].learning_rate:
            return None
        low, high = own[0], own[-1]
        effect = stats.mean((high.gains(method) - low.gains(method)).dropna())
        if np.isnan(effect.mean):
            return None
        said = [f"{stats.mean(c.gains(method))} at {by_rate(c)[1]}" for c in (low, high)]
        return Finding(by_interval(effect), effect, "points", "gain of the later epochs: " + ", ".join(said))

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
