"""Notebook 04: importance and performance over learning rates, and learning curves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from beft_lib import models
from beft_lib.chapters.extension import plan as extension
from beft_lib.chapters.extension import tables
from beft_lib.evidence import Comparison
from beft_lib.tuning import methods

from ..style import (
    COLOURS,
    FAINT,
    IDLE,
    MARKERS,
    epoch_curve,
    error_bars,
    grey_idle,
    legend_below,
    look,
    method_handles,
    styled,
    subplots,
)


@styled
def over_rates(comparisons: Sequence[Comparison], rate_tasks: Sequence[str]) -> Figure:
    """A row a task: the projection scores of every term over learning rates, and what tuning each method scores."""
    figure, axes = subplots(len(rate_tasks), 2, 9.4, 3.0 * len(rate_tasks) + 0.5, squeeze=False)
    for (left, right), task in zip(axes, rate_tasks):
        at_rates = tables.over_rates(comparisons, task)
        _scores_over_rates(left, [c for c in at_rates if c.ranking])
        for place, method in enumerate(extension.CONTRASTED):
            have = [c for c in at_rates if method in c.scores]
            shift = 1.04 ** (place - 1)  # side by side, so that the bars can be told apart
            places, scores = [shift * c.learning_rate for c in have], [c.score(method) for c in have]
            error_bars(right, places, scores, **look(method, "-"), lw=1.2, elinewidth=0.9)
        left.set_ylabel(f"{at_rates[0].title}\nprojection score")
        right.set_ylabel(f"{at_rates[0].metric} (%)")
        for axis in (left, right):
            axis.set_xscale("log")
            axis.set_xticks([c.learning_rate for c in at_rates], [f"{c.learning_rate:g}" for c in at_rates])
            axis.minorticks_off()
            axis.set_xlabel("learning rate (log)")
            for c in at_rates:
                if not c.learned:  # greyed: what stands there says nothing
                    axis.axvspan(c.learning_rate / 1.2, c.learning_rate * 1.2, color=IDLE, zorder=0)
    shown = ("value", "query", "key", "all_biases", "head_only")
    handles = method_handles(shown)
    handles.append(Line2D([], [], color=FAINT, lw=0.8, label="other biases"))
    handles.append(Line2D([], [], color=COLOURS["value"], ls=":", label="null model, b_v"))
    legend_below(figure, handles)
    return figure


def _scores_over_rates(axis, at_rates: Sequence[Comparison]) -> None:
    if not at_rates:
        axis.text(0.5, 0.5, "every run that tunes all biases failed", transform=axis.transAxes, ha="center")
        return
    x = [c.learning_rate for c in at_rates]
    means = [c.means("projection") for c in at_rates]
    for term in sorted(means[0], key=lambda term: term in methods.ATTENTION_TERMS):
        line = [m.get(term, np.nan) for m in means]
        if term in methods.ATTENTION_TERMS:
            axis.plot(x, line, marker=MARKERS[term], color=COLOURS[term], ms=7, mec="white", lw=1.6)
        else:
            axis.plot(x, line, color=FAINT, lw=0.8, alpha=0.7)
    axis.plot(x, [c.means("null_model")["value"] for c in at_rates], color=COLOURS["value"], ls=":", lw=1.4)
    axis.set_ylim(0, None)


@styled
def learning_curves(comparisons: Sequence[Comparison]) -> Figure:
    """A row an encoder, a column a learning rate: the score after each epoch, mean over seeds, a thin line a seed."""
    shown = [c for c in comparisons if c.variant != extension.BIAS_HEAD and any(s.each_epoch for s in c.specs.values())]
    encoders = list(dict.fromkeys(c.model for c in shown))
    by_rate = {
        rate: {c.model: c for c in shown if c.learning_rate == rate} for rate in {c.learning_rate for c in shown}
    }
    rates = [rate for rate in sorted(by_rate, reverse=True) if set(by_rate[rate]) == set(encoders)]
    size = (4.4 * len(rates) + 0.4, 2.9 * len(encoders) + 0.5)
    figure, axes = subplots(len(encoders), len(rates), *size, squeeze=False, sharey=True)
    for row, model in zip(axes, encoders):
        for axis, rate in zip(row, rates):
            c = by_rate[rate][model]
            for method in extension.CONTRASTED:
                if not (curve := c.curve(method)).empty:
                    epoch_curve(axis, curve, method, faint=0.3)
            grey_idle(axis, c)
            axis.set_title(f"{models.title(model)}, learning rate {rate:g}", fontsize=9.5)
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
        row[0].set_ylabel(f"{c.title}, {c.metric} (%)")
    handles = method_handles(extension.CONTRASTED)
    handles.append(Line2D([], [], color=FAINT, lw=0.8, label="one seed"))
    legend_below(figure, handles)
    return figure
