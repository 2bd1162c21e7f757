"""Predicates about what changes with the data, the learning rate or the epochs."""

from collections.abc import Callable, Sequence

import numpy as np

from beft_lib.evidence import selection_quality, stats
from beft_lib.evidence.claims.finding import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    Finding,
    Predicate,
    by_interval,
)
from beft_lib.evidence.comparison import Comparison


def score_gap_follows(approach: str) -> Predicate:
    """The gap between the scores of b_v and b_q orders the regimes as the gap between their performances does.

    Kendall's τ over regimes, one value a task and seed; interval and n as in `scoreboard.average`.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        followed = selection_quality.following(selection_quality.gaps([c for c in comparisons if c.ranking]))
        own = followed[followed.approach == approach]
        if own.empty:
            return None
        effect = selection_quality.average(own, "tau").within(-1, 1)
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
