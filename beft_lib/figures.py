"""The figures: one function an idea, each returning a matplotlib figure (`display.show` shows and files it).

One colour a bias term throughout, from a palette that colour-blind readers can tell apart (Okabe and Ito), and a
marker of its own beside the colour.
"""

import functools
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Circle, Polygon

from beft_lib import importance, methods, models, stats, tables
from beft_lib.evidence import Comparison

COLOURS = {
    "query": "#0072B2",
    "key": "#E69F00",
    "value": "#009E73",
    "all_biases": "#CC79A7",
    "head_only": "#555555",
    "none": "#999999",
    "full": "#000000",
}
MARKERS = {"query": "s", "key": "D", "value": "o", "all_biases": "P", "head_only": "X", "none": "v", "full": "^"}
APPROACHES = {"projection": ("#0072B2", "o"), "magnitude": ("#D55E00", "s"), "null_model": ("#777777", "v")}
INK, FAINT = "#222222", "#9a9a9a"

STYLE = {
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 110,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
}


def styled(draw):
    """Draw under the project's style, leaving the user's settings alone."""

    @functools.wraps(draw)
    def drawn(*arguments, **named) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **named)

    return drawn


def _figure(rows: int, columns: int, width: float, height: float, **more):
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **more)


# ------------------------------------------------------------------------------------ Figs 2 and 3: geometry


@styled
def projection_geometry(pre: Sequence[float], shorter: Sequence[float], longer: Sequence[float]) -> Figure:
    """Fig. 2: the two cases of the projection ratio, drawn from the formula, for vectors of two coordinates."""
    figure, axes = _figure(1, 2, 8.4, 3.9)
    for axis, post, case in ((axes[0], shorter, "(a) post is shorter"), (axes[1], longer, "(b) post is longer")):
        pre_, post_ = np.asarray(pre, float), np.asarray(post, float)
        base, other = (pre_, post_) if np.linalg.norm(pre_) >= np.linalg.norm(post_) else (post_, pre_)
        foot = base * (base @ other) / (base @ base)
        score = _projection(pre_, post_)
        _arrow(axis, pre_, COLOURS["query"], "$b^{pre}$")
        _arrow(axis, post_, COLOURS["value"], "$b^{post}$")
        axis.plot(*zip(other, foot), ":", color=INK, lw=1)
        across = (
            0.09
            * np.array([base[1], -base[0]])
            / np.linalg.norm(base)
            * np.sign(base[0] * other[1] - base[1] * other[0] or 1)
        )
        for start, end, colour, share in ((0 * base, foot, FAINT, 1 - score), (foot, base, COLOURS["key"], score)):
            start, end = start + across, end + across
            axis.plot(*zip(start, end), color=colour, lw=5, solid_capstyle="butt")
            turn = np.degrees(np.arctan2(base[1], base[0]))
            place = (start + end) / 2 + 1.1 * across
            label = f"score {share:.2f}" if colour != FAINT else f"{share:.2f}"
            axis.annotate(label, place, ha="center", va="center", rotation=turn, rotation_mode="anchor", fontsize=9)
        angles = sorted(np.degrees(np.arctan2(v[1], v[0])) for v in (pre_, post_))
        axis.add_patch(Arc((0, 0), 0.7, 0.7, theta1=angles[0], theta2=angles[1], color=INK))
        middle = np.radians(np.mean(angles))
        axis.annotate("α", (0.47 * np.cos(middle), 0.47 * np.sin(middle)), ha="center", va="center")
        axis.set_title(f"{case}: score {score:.2f}")
        _plane(axis, [pre_, post_])
    return figure


@styled
def approaches_geometry(pre: Sequence[float], change: float, gradient: float) -> Figure:
    """Fig. 3: what each approach cannot tell apart. Level sets of the scores in the plane, computed from the formulas.

    (a) every post at ℓ1 distance `change` from pre has one Magnitude; (b) every gradient of norm `gradient` has one
    Fisher value; (c) the projection ratio over the plane: it differs along the rhombus of (a).
    """
    figure, axes = _figure(1, 3, 11.4, 4.1)
    pre_ = np.asarray(pre, float)
    rhombus = pre_ + change * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    corners = [pre_ + change * np.array(d) for d in ((1, 0), (0, 1), (-0.5, 0.5), (0.5, -0.5))]
    axes[0].add_patch(Polygon(rhombus, fill=False, color=COLOURS["value"], lw=2))
    axes[0].set_title(f"(a) Magnitude: {change:g} on the whole rhombus")
    circle = np.array([np.cos(np.radians([20, 110, 200, 300])), np.sin(np.radians([20, 110, 200, 300]))]).T
    axes[1].add_patch(Circle((0, 0), gradient, fill=False, color=COLOURS["key"], lw=2))
    axes[1].set_title(f"(b) Fisher: {gradient**2:.2g} on the whole circle")
    for direction in circle:
        _arrow(axes[1], gradient * direction, COLOURS["key"], "")
    _plane(axes[1], gradient * 1.25 * circle, centred=True, labels=("$g_u$", "$g_v$"))
    grid = np.linspace(-0.6, 2.6, 240)
    u, v = np.meshgrid(grid, grid)
    points = np.stack([u, v], -1)
    scores = 1 - (points @ pre_) / np.maximum((points**2).sum(-1), pre_ @ pre_)
    contour = axes[2].contourf(u, v, scores, levels=np.linspace(0, 1.6, 17), cmap="cividis_r", extend="both")
    axes[2].add_patch(Polygon(rhombus, fill=False, color="white", lw=2))
    figure.colorbar(contour, ax=axes[2], label="projection ratio", shrink=0.8)
    axes[2].set_title("(c) Projection ratio differs along it")
    for axis in (axes[0], axes[2]):
        _arrow(axis, pre_, INK, "$b^{pre}$")
        for post in corners:
            axis.plot(*post, "o", color=COLOURS["value"], mec="white", ms=7)
            if axis is axes[2]:
                axis.annotate(
                    f"{_projection(pre_, post):.2f}",
                    post,
                    xytext=(6, 5),
                    textcoords="offset points",
                    fontsize=9,
                    bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1},
                )
        axis.set(xlim=(-0.4, 2.4), ylim=(-0.4, 2.4), aspect="equal", xlabel="$u$", ylabel="$v$")
    return figure


def _projection(pre: np.ndarray, post: np.ndarray) -> float:
    import torch

    return importance.projection_ratio(torch.tensor(pre), torch.tensor(post)).item()


def _arrow(axis, vector, colour: str, label: str) -> None:
    axis.annotate(
        "", vector, (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2, "shrinkA": 0, "shrinkB": 0}
    )
    if label:
        axis.annotate(label, vector, xytext=(4, 6), textcoords="offset points", color=colour, fontsize=12)


def _plane(axis, vectors, centred: bool = False, labels: tuple[str, str] = ("$u$", "$v$")) -> None:
    reach = 1.2 * max(np.abs(np.asarray(vectors)).max(), 0.1)
    low = -reach if centred else -0.12 * reach
    axis.set(xlim=(low, reach), ylim=(low, reach), aspect="equal", xlabel=labels[0], ylabel=labels[1])
    axis.axhline(0, color=FAINT, lw=0.6, zorder=-1)
    axis.axvline(0, color=FAINT, lw=0.6, zorder=-1)


# --------------------------------------------------------------------------------------------- Fig 1: results


@styled
def importance_heatmaps(scores: pd.DataFrame, approaches: Sequence[str]) -> Figure:
    """Scores of every bias term in every layer, a panel an approach, the mean over layers in a column of its own.

    Averaged over seeds; the colour follows the square root of the score, from 0 to the panel's largest.
    """
    grids = {approach: _grid(scores[scores.approach == approach]) for approach in approaches}
    terms, layers = next(iter(grids.values())).shape
    figure, axes = _figure(
        len(approaches), 1, 2.0 + max(3.2, 0.66 * layers), len(approaches) * (0.75 + 0.29 * terms), squeeze=False
    )
    for axis, (approach, grid) in zip(axes.flat, grids.items()):
        top = np.nanmax(grid.to_numpy(), initial=0.0)
        marks = grid.map(lambda value: "" if np.isnan(value) else _short(value))
        if layers > 13:  # too narrow for numbers
            marks.loc[:, marks.columns != tables.MEAN] = ""
        norm = PowerNorm(0.5, vmin=0, vmax=top if top > 0 else 1)
        lines = {"linewidths": 0.5, "linecolor": "white"}
        sns.heatmap(
            grid,
            ax=axis,
            cmap="cividis",
            norm=norm,
            vmin=0,
            vmax=norm.vmax,
            annot=marks,
            fmt="",
            annot_kws={"size": 8},
            cbar=False,
            **lines,
        )
        axis.axvline(layers - 1, color="white", lw=5)
        axis.set(title=tables.TITLES[approach], xlabel="", ylabel="")
        axis.tick_params(length=0, labelrotation=0)
    axes.flat[-1].set_xlabel("layer")
    return figure


def _grid(own: pd.DataFrame) -> pd.DataFrame:
    """(terms, layers + mean) averaged over seeds; query, key, value first, biases outside the layers last."""
    own = own.assign(layer=own.layer.astype(str))
    grid = own.groupby(["term", "layer"], sort=False).score.mean().unstack()  # an undefined score stays a hole
    numbers = sorted((c for c in grid.columns if c.isdigit()), key=int)
    inside = own[own.layer.isin(numbers)].term.unique()
    order = sorted(inside, key=lambda term: term not in methods.ATTENTION_TERMS)
    grid = grid.loc[order, [*numbers, tables.MEAN]]
    return grid.rename(index=methods.title, columns=lambda c: c if c == tables.MEAN else str(int(c) + 1))


def _short(value: float) -> str:
    if value == 0 or 0.01 <= abs(value) < 100:
        return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"
    return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-").replace("e+0", "e")


@styled
def ranking_against_score(
    comparison: Comparison, approaches: Sequence[str], paper: Mapping[str, float] | None
) -> Figure:
    """Fig. 1: each term's place among all bias terms (1 at the top) against the score it achieves when tuned alone.

    A panel an approach; horizontal bars are 95 % intervals over seeds; hollow marks are the paper's scores, given in
    percent. An approach that orders the terms well runs from the lower left to the upper right.
    """
    achieved = {method: comparison.score(method) for method in comparison.scores}
    rows = -(-len(approaches) // 3)
    figure, axes = _figure(
        rows, min(3, len(approaches)), 8.2, 0.7 + 2.9 * rows, sharey=True, sharex=True, squeeze=False
    )
    for axis in axes.flat[len(approaches) :]:
        axis.axis("off")
    for axis, approach in zip(axes.flat, approaches):
        places = {term: rank.place for term, rank in comparison.places(approach).items()}
        path = sorted((t for t in methods.ATTENTION_TERMS if t in achieved and t in places), key=places.get)
        axis.plot([achieved[t].mean for t in path], [places[t] for t in path], color=FAINT, lw=1, zorder=1)
        for term in path:
            _estimate(axis, achieved[term], places[term], term)
            if paper:
                axis.plot(
                    paper[term],
                    places[term],
                    marker=MARKERS[term],
                    mfc="none",
                    mec=COLOURS[term],
                    ls="",
                    ms=7,
                    alpha=0.8,
                )
        if "head_only" in achieved:
            axis.axvline(achieved["head_only"].mean, color=COLOURS["head_only"], lw=1.2, ls="--", zorder=0)
        axis.set_title(tables.TITLES[approach].replace(" (", "\n("))
        axis.set_xlabel(f"{comparison.metric} (%)")
    for axis in axes.flat[max(0, len(approaches) - axes.shape[1]) : len(approaches)]:
        axis.tick_params(labelbottom=True)  # also where the panel below is empty
    axes[0][0].set_ylim(max(1, len(places)) + 0.6, 0.4)
    figure.supylabel("importance rank among all bias terms", fontsize=10)
    axes[0][0].yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    handles = [
        plt.Line2D([], [], marker=MARKERS[t], color=COLOURS[t], ls="", label=methods.title(t))
        for t in methods.ATTENTION_TERMS
    ]
    handles.append(plt.Line2D([], [], color=COLOURS["head_only"], ls="--", label="head only"))
    if paper:
        handles.append(plt.Line2D([], [], marker="o", mfc="none", mec=INK, ls="", label="paper (BERT-base)"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.suptitle(f"{comparison.task}, {models.title(comparison.model)}", fontsize=10.5)
    return figure


def _estimate(axis, estimate: stats.Estimate, place: float, term: str) -> None:
    error = None if np.isnan(estimate.low) else [[estimate.mean - estimate.low], [estimate.high - estimate.mean]]
    axis.errorbar(
        estimate.mean, place, xerr=error, fmt=MARKERS[term], color=COLOURS[term], ms=8, mec="white", capsize=3, zorder=2
    )


# ----------------------------------------------------------------------------------- Fig 4: over data regimes


@styled
def ranking_over_regimes(comparisons: Sequence[Comparison], approaches: Sequence[str]) -> Figure:
    """Fig. 4: a row a task; each term's place among all bias terms over data regimes, a column an approach, and the
    score of tuning each term alone in the last column, with 95 % intervals over seeds.

    b_q, b_k and b_v in colour, every other bias term as a thin line.
    """
    tasks = list(dict.fromkeys(c.task for c in comparisons))
    figure, axes = _figure(
        len(tasks), len(approaches) + 1, 2.05 * (len(approaches) + 1) + 0.6, 2.5 * len(tasks) + 0.6, squeeze=False
    )
    for row, task in zip(axes, tasks):
        own = sorted((c for c in comparisons if c.task == task), key=lambda c: c.n_train)
        for axis, approach in zip(row, approaches):
            _places_over_regimes(axis, own, approach)
        _scores_over_regimes(row[-1], own)
        row[0].set_ylabel(f"{task}\nimportance rank", fontsize=10)
        for axis in row:
            axis.set_xticks(range(len(own)), [f"{c.regime}\n{c.n_train:,}" for c in own], fontsize=8)
            axis.set_xlim(-0.35, len(own) - 0.65)
    for axis, approach in zip(axes[0], approaches):
        axis.set_title(tables.TITLES[approach].replace(" (", "\n("), fontsize=9.5)
    axes[0][-1].set_title("Score when\ntuned alone", fontsize=9.5)
    shown = (*methods.ATTENTION_TERMS, "all_biases", "head_only")
    handles = [plt.Line2D([], [], marker=MARKERS[m], color=COLOURS[m], label=methods.title(m)) for m in shown]
    handles.append(plt.Line2D([], [], color=FAINT, lw=0.8, label="other biases"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _places_over_regimes(axis, own: Sequence[Comparison], approach: str) -> None:
    """One panel: places from 1 at the top, a line a term."""
    places = [{term: rank.place for term, rank in c.places(approach).items()} for c in own]
    terms = dict.fromkeys(term for own_places in places for term in own_places)  # none where ranking runs failed
    for term in sorted(terms, key=lambda term: term in methods.ATTENTION_TERMS):
        line = [place.get(term, np.nan) for place in places]
        if term in methods.ATTENTION_TERMS:
            axis.plot(line, marker=MARKERS[term], color=COLOURS[term], ms=7, mec="white", lw=1.6)
        else:
            axis.plot(line, color=FAINT, lw=0.8, alpha=0.7)
    axis.set_ylim(max(1, len(terms)) + 0.6, 0.4)
    axis.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))


def _scores_over_regimes(axis, own: Sequence[Comparison]) -> None:
    """One panel: the score of each method over regimes, drawn side by side."""
    shown = [m for m in ("head_only", "all_biases", *methods.ATTENTION_TERMS) if m in own[0].scores]
    shown = [m for m in shown if not (m == "key" and own[0].serves_key)]  # it would hide the head's line
    for place, method in enumerate(shown):
        found = [c.score(method) for c in own]
        middle = np.array([e.mean for e in found])
        errors = np.nan_to_num([[e.mean - e.low for e in found], [e.high - e.mean for e in found]])
        across = np.arange(len(own)) + 0.07 * (place - (len(shown) - 1) / 2)
        style = {"fmt": f"{MARKERS[method]}-", "color": COLOURS[method], "ms": 6, "mec": "white", "capsize": 2}
        axis.errorbar(across, middle, yerr=errors, lw=1.2, elinewidth=0.9, **style)
    axis.yaxis.tick_right()
    axis.spines["left"].set_visible(False)
    axis.spines["right"].set_visible(True)
    axis.set_ylabel(f"{own[0].metric} (%)", fontsize=9)
    axis.yaxis.set_label_position("right")


@styled
def agreement_along(agreements: Mapping[str, Mapping[float, stats.Estimate]]) -> Figure:
    """How often the choice after a share of the steps is the one at the end: a line an approach, with intervals."""
    figure, axis = _figure(1, 1, 6.4, 3.4)
    for place, (approach, found) in enumerate(agreements.items()):
        shares = np.array(sorted(found)) * 1.06 ** (place - (len(agreements) - 1) / 2)
        middle = [found[share].mean for share in sorted(found)]
        estimates = [found[share] for share in sorted(found)]
        errors = np.nan_to_num([[e.mean - e.low for e in estimates], [e.high - e.mean for e in estimates]])
        colour, marker = APPROACHES[approach]
        axis.errorbar(
            100 * shares,
            middle,
            yerr=errors,
            fmt=f"{marker}-",
            color=colour,
            ms=6,
            mec="white",
            capsize=3,
            label=tables.TITLES[approach],
        )
    axis.set_xscale("log")
    ticks = sorted({100 * share for found in agreements.values() for share in found})
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set(xlabel="share of the run's steps (%)", ylabel="runs with the final choice (%)", ylim=(-4, 104))
    axis.legend(frameon=False, loc="lower right")
    return figure
