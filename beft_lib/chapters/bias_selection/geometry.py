"""Figs 2 and 3: what the scores measure, drawn from the formulas for vectors of two coordinates."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Circle, Polygon

from beft_lib import importance

from ..style import COLOURS, FAINT, INK, styled, subplots


@styled
def projection_geometry(pre: Sequence[float], shorter: Sequence[float], longer: Sequence[float]) -> Figure:
    """Fig. 2: the two cases of the projection ratio, drawn from the formula, for vectors of two coordinates."""
    figure, axes = subplots(1, 2, 8.4, 3.9)
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
    figure, axes = subplots(1, 3, 11.4, 4.1)
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
    grid = np.linspace(-0.6, 2.6, 90)
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
