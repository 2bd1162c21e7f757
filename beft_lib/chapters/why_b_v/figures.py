"""Notebook 06: scores against pre-trained norms, attention moved by each bias, and what parts of b_v achieve."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from beft_lib import models
from beft_lib.chapters.why_b_v import plan as why_b_v
from beft_lib.evidence import Comparison
from beft_lib.tuning import methods

from ..style import COLOURS, FAINT, INK, MARKERS, error_bars, legend_below, method_handles, panel, styled, subplots


@styled
def scores_against_sizes(frame: pd.DataFrame) -> Figure:
    """A panel a model: the projection score of every bias in every layer over its size before tuning.

    The line is what a change of the median size would score in a random direction, r² / (1 + r²) where r is the change
    over the bias: the null model without its dots. `frame`: of `tables.scores_and_sizes`.
    """
    shown = list(dict.fromkeys(frame.model))
    panels = max(len(shown), 1)  # an empty one where every ranking run failed
    figure, axes = subplots(1, panels, 4.6 * panels + 0.4, 3.8, squeeze=False, sharey=True)
    for axis, model in zip(axes[0], shown):
        of_model = (
            frame[frame.model == model]
            .groupby(["term", "layer"], as_index=False)[["projection", "null_model", "rms"]]
            .mean()
        )
        other = of_model[~of_model.term.isin(methods.ATTENTION_TERMS)]
        axis.scatter(other.rms, other.projection, s=16, color=FAINT, alpha=0.8, linewidths=0)
        for term in methods.ATTENTION_TERMS:
            these = of_model[of_model.term == term]
            axis.scatter(
                these.rms, these.projection, s=44, color=COLOURS[term], marker=MARKERS[term], edgecolors="white"
            )
        grid = np.geomspace(of_model.rms.min() / 1.5, of_model.rms.max() * 1.5, 200)
        ratio = (_typical_change(of_model) / grid) ** 2
        axis.plot(grid, ratio / (1 + ratio), color=INK, lw=1.0, ls="--")
        axis.set_xscale("log")
        axis.set_title(models.title(model), fontsize=9.5)
        axis.set_xlabel("size before tuning (root mean square, log)")
    axes[0][0].set_ylabel("projection score")
    handles = method_handles(methods.ATTENTION_TERMS, ls="")
    handles.append(Line2D([], [], marker="o", ms=4, color=FAINT, ls="", label="other biases"))
    handles.append(Line2D([], [], color=INK, lw=1.0, ls="--", label="a random change of the median size"))
    legend_below(figure, handles)
    return figure


def _typical_change(biases: pd.DataFrame) -> float:
    """The root mean square of a change that would score the null model's score, median over the biases that moved."""
    moved = biases[(biases.null_model > 1e-3) & (biases.null_model < 1)]
    return float((moved.rms * np.sqrt(moved.null_model / (1 - moved.null_model))).median())


@styled
def attention_moved(frame: pd.DataFrame) -> Figure:
    """By layer, how much attention moves when one bias of the layer changes (`before_tuning.attention_shift`)."""
    figure, axis = panel(5.6, 3.2)
    for term in methods.ATTENTION_TERMS:
        shifts = frame[frame.term == term]
        style = {"color": COLOURS[term], "marker": MARKERS[term], "ms": 7, "mec": "white", "lw": 1.4}
        if term == "key":  # open and larger, so that b_v beside it at zero does not hide it
            style |= {"ms": 12, "mec": COLOURS[term], "mfc": "none", "lw": 0}
        axis.plot(shifts.layer + 1, 100 * shifts.distance, label=methods.title(term), **style)
    axis.set_xlabel("layer")
    axis.set_ylabel("attention moved (%)")
    cast(MaxNLocator, axis.xaxis.get_major_locator()).set_params(integer=True)  # of a linear axis
    axis.set_ylim(min(0, -0.02 * 100 * frame.distance.max()), None)
    axis.legend(frameon=False)
    return figure


@styled
def parts(comparison: Comparison, tuned: Sequence[str], kept: Sequence[str]) -> Figure:
    """Left: b_v tuned in some layers alone. Right: parts kept of the b_v tuned in all of them. Bars are 95 %."""
    longest = max(len(tuned), len(kept)) + 2
    figure, (left, right) = subplots(1, 2, 9.4, 0.34 * longest + 1.3, sharex=True)
    _dots(left, comparison, ["head_only", *tuned, "value"], {"head_only": "head only", "value": "b_v, all layers"})
    _dots(right, comparison, [why_b_v.UNTUNED, *kept, "value"], {why_b_v.UNTUNED: "nothing", "value": "all of it"})
    left.set_title("tuned alone, with a head of its own", fontsize=9.5)
    right.set_title("kept of the tuned b_v, with its head", fontsize=9.5)
    return figure


def _dots(axis, comparison: Comparison, arms: Sequence[str], names: dict[str, str]) -> None:
    for row, arm in enumerate(arms):
        colour = COLOURS["head_only"] if row == 0 else COLOURS["value"]
        error_bars(axis, [row], [comparison.score(arm)], along="x", fmt="o", color=colour, elinewidth=0.9)
    whole = comparison.score("value").mean
    axis.axvline(whole, color=FAINT, lw=0.8, ls=":")
    axis.set_yticks(range(len(arms)), [names.get(arm, arm) for arm in arms])
    axis.invert_yaxis()
    axis.set_xlabel(f"{comparison.title}, {comparison.metric} (%)")
