"""Colours, markers and the look that the figures share.

One colour a bias term throughout, from a palette that colour-blind readers can tell apart (Okabe and Ito), and a
marker of its own beside the colour.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from beft_lib.evidence import Comparison, stats
from beft_lib.tuning import methods
from beft_lib.tuning.methods import METHODS

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

COLOURS = {name: method.colour for name, method in METHODS.items()}
MARKERS = {name: method.marker for name, method in METHODS.items()}
APPROACHES = {"projection": ("#0072B2", "o"), "magnitude": ("#D55E00", "s"), "null_model": ("#777777", "v")}
INK, FAINT = "#222222", "#9a9a9a"
IDLE = "0.9"  # behind what stands where nothing was learned

STYLE: "dict[RcKeyType, Any]" = {
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


def panel(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one panel, in inches."""
    return plt.subplots(figsize=(width, height), layout="constrained")


def subplots(rows: int, columns: int, width: float, height: float, **more):
    """A figure of so many panels, in inches, whose parts make room for each other."""
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **more)


# --------------------------------------------------------------------------------------------- what figures share


def error_bars(axis: Axes, at: stats.Values, estimates: Sequence[stats.Estimate], *, along: str = "y", **style):
    """The means of estimates `at` these places, with their intervals as bars along an axis; none where there is none.

    `style`: as of `matplotlib.axes.Axes.errorbar`.
    """
    means = [estimate.mean for estimate in estimates]
    ends = np.nan_to_num([[e.mean - e.low for e in estimates], [e.high - e.mean for e in estimates]])
    style = {"ms": 6, "mec": "white", "capsize": 3} | style
    if along == "x":
        return axis.errorbar(means, at, xerr=ends, **style)
    return axis.errorbar(at, means, yerr=ends, **style)


def grey_idle(axis: Axes, comparison: Comparison) -> None:
    """Grey a panel of a setting in which nothing was learned: what stands there says nothing."""
    if not comparison.learned:
        axis.set_facecolor(IDLE)


def look(method: str, line: str = "") -> dict:
    """A method's colour and marker, for `error_bars`; `line`: how its points are joined."""
    return {"fmt": f"{MARKERS[method]}{line}", "color": COLOURS[method]}


def epoch_curve(axis: Axes, curve: pd.DataFrame, method: str, *, faint: float, label: str | None = None) -> None:
    """Scores (seeds, epochs) after each epoch: their mean, and a thin line a seed, `faint` opaque."""
    axis.plot(curve.columns, curve.T.to_numpy(), color=COLOURS[method], lw=0.6, alpha=faint)
    style = {"color": COLOURS[method], "marker": MARKERS[method], "ms": 5, "mec": "white", "lw": 1.8}
    axis.plot(curve.columns, curve.mean(), label=label, **style)


def method_handles(names: Sequence[str], **style) -> list[Line2D]:
    """What a legend shows of methods: colour, marker and title."""
    return [
        Line2D([], [], marker=MARKERS[name], color=COLOURS[name], label=methods.title(name), **style) for name in names
    ]


def legend_below(figure: Figure, handles: Sequence[Line2D]) -> None:
    """One legend for all panels, in a line below them."""
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
