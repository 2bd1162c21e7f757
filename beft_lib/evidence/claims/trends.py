"""Predicates about what changes with the data, the learning rate or the epochs."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from beft_lib.evidence import selection_quality, stats
from beft_lib.evidence.claims.finding import (
    CONTRADICTED,
    LEANS,
    MARGIN,
    NO_DIFFERENCE,
    SUPPORTED,
    Finding,
    Predicate,
    about,
    by_interval,
    lean,
)
from beft_lib.evidence.comparison import Comparison


def score_gap_follows(approach: str) -> Predicate:
    """The gap between the scores of b_v and b_q orders the regimes as the gap between their performances does.

    Kendall's τ over regimes, one value a task and seed; the interval is over the seeds within the tasks.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        followed = selection_quality.following(
            selection_quality.gaps([c for c in comparisons if c.ranking], everywhere=True)
        )
        own = followed[followed.approach == approach]
        if own.empty:
            return None
        effect = _within_tasks(own, "tau")
        verdict = by_interval(effect)
        reason = f"{len(own)} sequences of regimes, one a task and seed: {about(effect, verdict)}"
        return Finding(verdict, effect, "Kendall's τ", reason, rests_on=tuple(comparisons), methods=("value", "query"))

    return Predicate(f"Kendall's τ between the gaps b_v − b_q in {approach} score and in performance is above 0", judge)


def _within_tasks(frame: pd.DataFrame, column: str) -> stats.Estimate:
    """The mean over tasks, which are fixed, with the interval over the seeds of each."""
    defined = frame.dropna(subset=[column])
    own = [values.to_numpy(float) for _, values in defined.groupby("task", sort=False)[column]]
    return stats.stratified([(values, np.tile(values, (2, 1))) for values in own]).within(-1, 1)


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

    Supported if both changes are decided as claimed; contradicted if either is decided the other way; no difference if
    the change in performance lies within the margin; else a lean. The effect is by how many points the gap widens, or
    narrows if that is claimed; the change in score is in the reason.
    """
    unit = "points wider" if sign > 0 else "points narrower"

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = sorted((c for c in comparisons if c.ranking and {"value", "query"} <= set(c.scores)), key=along)
        if len(own) < 2:
            return None
        few, many = own[0], own[-1]
        effect = _signed(sign, few.gap_change(many, "value", "query"))
        verdict = by_interval(effect, MARGIN)
        reason = f"from {along(few)[1]} to {along(many)[1]}: {about(effect, verdict)}"
        finding = Finding(verdict, effect, unit, reason, rests_on=(few, many), methods=("value", "query"))
        if approach is None:
            return finding
        gaps = [c.importance(approach)["value"] - c.importance(approach)["query"] for c in (few, many)]
        change = stats.mean((gaps[1] - gaps[0]).dropna().to_numpy())
        scored = by_interval(_signed(sign, change))
        if not follows and scored in (SUPPORTED, CONTRADICTED):
            scored = CONTRADICTED if scored == SUPPORTED else SUPPORTED
        verdicts = (verdict, scored)
        if CONTRADICTED in verdicts:
            joint = CONTRADICTED
        elif verdicts == (SUPPORTED, SUPPORTED):
            joint = SUPPORTED
        else:
            joint = verdict if verdict == NO_DIFFERENCE else LEANS
        return finding._replace(
            verdict=joint, reason=f"{reason}; the gap in {approach} score changes by {change.text(3)}"
        )

    way = "widens" if sign > 0 else "narrows"
    rule = f"the gap b_v − b_q in points {way} from the first setting to the last"
    if approach:
        rule += f", and so does the gap in {approach} score" if follows else f", and that in {approach} score does not"
    return Predicate(rule, judge)


def gap_is_widest_with_least_data() -> Predicate:
    """The gap b_v − b_q in performance is wider with the least data than with each larger amount.

    Supported if each difference is decided so, contradicted if one is decided the other way; no difference if all lie
    within the margin; else a lean. The effect is the smallest difference.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = sorted((c for c in comparisons if {"value", "query"} <= set(c.scores)), key=by_data)
        if len(own) < 2:
            return None
        least, *others = own
        wider = {c: _signed(-1, least.gap_change(c, "value", "query")) for c in others}
        verdicts = {by_interval(effect, MARGIN) for effect in wider.values()}
        verdict = CONTRADICTED if CONTRADICTED in verdicts else verdicts.pop() if len(verdicts) == 1 else LEANS
        at = min(wider, key=lambda c: wider[c].mean)
        reason = f"wider with {by_data(least)[1]} than with " + ", ".join(
            f"{by_data(c)[1]} by {effect} points ({about(effect, by_interval(effect, MARGIN))})"
            for c, effect in wider.items()
        )
        unit, both = "points wider at least", ("value", "query")
        return Finding(verdict, wider[at], unit, reason, rests_on=(least, at), methods=both)

    return Predicate("the gap b_v − b_q in points with the least data − with each larger amount is above 0", judge)


def _signed(sign: int, estimate: stats.Estimate) -> stats.Estimate:
    """The estimate as it is (sign 1), or of the opposite (−1)."""
    low, high = sorted((sign * estimate.low, sign * estimate.high))
    return stats.Estimate(sign * estimate.mean, low, high, estimate.n)


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
        verdict = by_interval(effect, MARGIN) if by_interval(divergence) == SUPPORTED else LEANS
        reason = f"from {by_rate(low)[1]} to {by_rate(high)[1]} the score changes by {divergence.text(2)}"
        if {"head_only"} <= set(low.scores) & set(high.scores):
            reason += f", the head alone by {low.change(high, 'head_only')} points"
        if verdict == LEANS:
            reason += f"; {lean(effect)}"
        return Finding(verdict, effect, "points", reason, rests_on=(low, high), methods=("all_biases", method))

    return Predicate(
        f"from the lowest to the highest rate the {approach} score of {method} rises, and its performance too", judge
    )


def improves_with_epochs(method: str) -> Predicate:
    """The second half of the epochs scores higher than the first. The effect is the difference, over seeds."""

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        found = [(c, own) for c in comparisons if len(own := c.gains(method))]
        if not found:
            return None
        comparison, own = found[0]
        effect, epochs = stats.mean(own), comparison.curve(method).shape[1]
        verdict = by_interval(effect, MARGIN)
        reason = f"second half of {epochs} epochs against the first, over seeds on one evaluation set: "
        reason += about(effect, verdict)
        if len(head := comparison.gains("head_only")):
            reason += f"; the head alone gains {stats.mean(head)}"
        return Finding(verdict, effect, "points", reason, rests_on=(comparison,), methods=(method,))

    return Predicate(f"{method}: mean score of the later half of the epochs − of the earlier half is above 0", judge)


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
        verdict = by_interval(effect, MARGIN)
        said = [f"{stats.mean(c.gains(method))} at {by_rate(c)[1]}" for c in (low, high)]
        reason = "gain of the later epochs: " + ", ".join(said)
        if verdict == LEANS:
            reason += f"; {lean(effect)}"
        return Finding(verdict, effect, "points", reason, rests_on=(low, high), methods=(method,))

    return Predicate(f"{method}: gain of the later epochs at the highest rate − at the lowest is above 0", judge)
