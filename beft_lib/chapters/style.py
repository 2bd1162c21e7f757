"""Colours, markers and the look that the figures share.

One colour a bias term throughout, from a palette that colour-blind readers can tell apart (Okabe and Ito), and a
marker of its own beside the colour.
"""

import functools

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from beft_lib.tuning.methods import METHODS

COLOURS = {name: method.colour for name, method in METHODS.items()}
MARKERS = {name: method.marker for name, method in METHODS.items()}
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


def subplots(rows: int, columns: int, width: float, height: float, **more):
    """A figure of so many panels, in inches, whose parts make room for each other."""
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **more)
