"""Fig. 1: importance by layer, and each term's rank against the score it achieves."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from beft_lib import models, tasks
from beft_lib.chapters import names
from beft_lib.evidence import Comparison
from beft_lib.runs import frames
from beft_lib.tuning import methods

from ..style import (
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    error_bars,
    grey_idle,
    legend_below,
    look,
    method_handles,
    styled,
    subplots,
)

DECADES = 6  # of Fisher's colours; an inert b_k lies twenty below the rest


@styled
def importance_heatmaps(scores: pd.DataFrame, approaches: Sequence[str]) -> Figure:
    """Scores of every bias term in every layer, a panel an approach, the mean over layers in a column of its own.

    Averaged over seeds. The colour follows the square root of the score, from 0 to the panel's largest; of Fisher,
    whose values lie orders of magnitude apart, its logarithm over the upper `DECADES`. Layers count from 1. Biases
    outside the layers have no column, and no row: `tables.bias_terms` names them.
    """
    grids = {approach: _grid(scores[scores.approach == approach]) for approach in approaches}
    terms, layers = next(iter(grids.values())).shape
    figure, axes = subplots(
        len(approaches), 1, 2.0 + max(3.2, 0.66 * layers), len(approaches) * (0.75 + 0.29 * terms), squeeze=False
    )
    for axis, (approach, grid) in zip(axes.flat, grids.items()):
        top = np.nanmax(grid.to_numpy(), initial=0.0)
        marks = grid.map(lambda value: "" if np.isnan(value) else _short(value))
        if layers > 13:  # too narrow for numbers
            marks.loc[:, marks.columns != frames.MEAN] = ""
        norm: Normalize = PowerNorm(0.5, vmin=0, vmax=top if top > 0 else 1)
        if logarithmic := approach.startswith("fisher") and top > 0:
            norm = LogNorm(top / 10**DECADES, top)
            grid = grid.clip(lower=norm.vmin)  # below, and an exact zero, is as dark
        lines = {"linewidths": 0.5, "linecolor": "white"}
        sns.heatmap(
            grid,
            ax=axis,
            cmap="cividis",
            norm=norm,
            vmin=norm.vmin,
            vmax=norm.vmax,
            annot=marks,
            fmt="",
            annot_kws={"size": 8},
            cbar=False,
            **lines,
        )
        axis.axvline(layers - 1, color="white", lw=5)
        axis.set(title=names.TITLES[approach] + (", colours logarithmic" if logarithmic else ""), xlabel="", ylabel="")
        axis.tick_params(length=0, labelrotation=0)
    axes.flat[-1].set_xlabel("layer")
    return figure


def _grid(scores: pd.DataFrame) -> pd.DataFrame:
    """(terms, layers + mean) averaged over seeds; query, key, value first, biases outside the layers last."""
    scores = scores.assign(layer=scores.layer.astype(str))
    grid = scores.groupby(["term", "layer"], sort=False).score.mean().unstack()  # an undefined score stays a hole
    numbers = sorted((c for c in grid.columns if c.isdigit()), key=int)
    inside = scores[scores.layer.isin(numbers)].term.unique()
    order = sorted(inside, key=lambda term: term not in methods.ATTENTION_TERMS)
    grid = grid.loc[order, [*numbers, frames.MEAN]]
    return grid.rename(index=methods.title, columns=lambda c: c if c == frames.MEAN else str(int(c) + 1))


def _short(value: float) -> str:
    if value == 0 or 0.01 <= abs(value) < 100:
        return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"
    return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-").replace("e+0", "e").replace("-", "−")


@styled
def ranking_against_score(
    comparison: Comparison,
    approaches: Sequence[str],
    paper: Mapping[str, float] | None,
    printed: Collection[str] = ("projection", "magnitude", "fisher"),
) -> Figure:
    """Fig. 1: each term's place among all bias terms (1 at the top) against the score it achieves when tuned alone.

    A panel an approach, greyed where nothing was learned; horizontal bars are 95 % intervals over seeds. An approach
    that orders the terms well runs from the lower left to the upper right. `paper`: its scores in percent, hollow marks
    on the lower edge of the panels of the approaches it has (`printed`). It gives no places among all bias terms, so
    they have none here.
    """
    achieved = {method: comparison.score(method) for method in comparison.scores}
    rows = -(-len(approaches) // 3)
    figure, axes = subplots(
        rows, min(3, len(approaches)), 8.2, 0.7 + 2.9 * rows, sharey=True, sharex=True, squeeze=False
    )
    for axis in axes.flat[len(approaches) :]:
        axis.axis("off")
    for axis, approach in zip(axes.flat, approaches):
        places = {term: rank.place for term, rank in comparison.places(approach).items()}
        path = sorted((t for t in methods.ATTENTION_TERMS if t in achieved and t in places), key=lambda t: places[t])
        axis.plot([achieved[t].mean for t in path], [places[t] for t in path], color=FAINT, lw=1, zorder=1)
        for term in path:
            error_bars(axis, [places[term]], [achieved[term]], along="x", **look(term), ms=8, zorder=2)
        if "head_only" in achieved:
            axis.axvline(achieved["head_only"].mean, color=COLOURS["head_only"], lw=1.2, ls="--", zorder=0)
        if paper and approach in printed:
            _paper_scores(axis, paper)
        grey_idle(axis, comparison)
        axis.set_title(names.TITLES[approach].replace(" (", "\n("))
        axis.set_xlabel(f"{comparison.metric} (%)")
    for axis in axes.flat[max(0, len(approaches) - axes.shape[1]) : len(approaches)]:
        axis.tick_params(labelbottom=True)  # also where the panel below is empty
    axes[0][0].set_ylim(max(1, len(places)) + 0.6, 0.4)
    figure.supylabel("importance rank among all bias terms", fontsize=10)
    axes[0][0].yaxis.set_major_locator(MaxNLocator(integer=True))
    handles = method_handles(methods.ATTENTION_TERMS, ls="")
    handles.append(Line2D([], [], color=COLOURS["head_only"], ls="--", label="head only"))
    if paper:
        handles.append(
            Line2D([], [], marker="o", mfc="none", mec=INK, ls="", label="paper's scores (BERT-base; no places)")
        )
    legend_below(figure, handles)
    figure.suptitle(f"{tasks.title(comparison.task)}, {models.title(comparison.model)}", fontsize=10.5)
    return figure


def _paper_scores(axis, paper: Mapping[str, float]) -> None:
    """The paper's scores on the lower edge of a panel: what each term reaches, at no rank of ours."""
    for term in (t for t in methods.ATTENTION_TERMS if t in paper):
        style = {"marker": MARKERS[term], "mfc": "white", "mec": COLOURS[term], "ls": "", "ms": 7, "clip_on": False}
        axis.plot(paper[term], 0, transform=axis.get_xaxis_transform(), zorder=3, **style)
