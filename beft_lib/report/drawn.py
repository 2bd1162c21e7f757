"""The numbers that a figure shows, read back from its drawing: what a reader gets under it as CSV."""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure

COLUMNS = ("panel", "series", "x", "y", "low", "high", "value")


def numbers(figure: Figure) -> pd.DataFrame:
    """A row a drawn point: its panel, series, place and interval, and the value of a cell of a heat map.

    To be called after the figure was drawn, as categories on an axis are given by their names. A panel is named by its
    title and axes, a series by its label or by the colour that it has in a legend. Columns without any entry are left
    out; shadings and guide lines are not data.
    """
    legends = [*figure.legends, *(own for axes in figure.axes if (own := axes.get_legend()) is not None)]
    titles = {
        _colour(handle): text.get_text()
        for legend in legends
        for handle, text in zip(legend.legend_handles, legend.get_texts())
        if hasattr(handle, "get_color")
    }
    rows = [
        {"panel": _panel(axes, place)} | row
        for place, axes in enumerate(figure.axes, start=1)
        for row in _points(axes, titles)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).dropna(axis=1, how="all").drop_duplicates()


def _panel(axes: Axes, place: int) -> str:
    parts = [axes.get_title() or axes.get_title(loc="left"), axes.get_ylabel(), axes.get_xlabel()]
    return " / ".join(" ".join(part.split()) for part in parts if part) or f"panel {place}"


def _colour(line) -> str:
    return to_hex(line.get_color()) if isinstance(line.get_color(), str | tuple) else ""


def _points(axes: Axes, titles: Mapping[str, str]):
    """The rows of one panel, without its name."""

    def named(label: object, line) -> str:
        return titles.get(_colour(line), "") if str(label).startswith("_") or not label else str(label)

    x_name, y_name = _names(axes.xaxis), _names(axes.yaxis)
    barred = set()
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer) and container.lines[0] is not None:
            line, caps, bars = container.lines
            barred |= {line, *caps}
            ends = bars[0].get_segments() if bars else []
            down = 1 if getattr(container, "has_yerr", False) else 0  # along which axis the interval lies
            for place, (x, y) in enumerate(_data(line)):
                low, high = (ends[place][0][down], ends[place][-1][down]) if place < len(ends) else (np.nan, np.nan)
                yield _row(named(container.get_label(), line), x_name(x), y_name(y), low, high)
        elif isinstance(container, BarContainer):
            for patch in container.patches:
                middle = patch.get_x() + patch.get_width() / 2
                yield _row(container.get_label(), x_name(middle), y_name(patch.get_height()))
    for line in axes.lines:
        if line not in barred and line.get_transform().contains_branch(axes.transData):
            for x, y in _data(line):
                yield _row(named(line.get_label(), line), x_name(x), y_name(y))
    for drawn in axes.collections:
        if isinstance(drawn, PathCollection):
            for x, y in np.asarray(drawn.get_offsets()):
                yield _row(drawn.get_label(), x_name(x), y_name(y))
        elif isinstance(drawn, QuadMesh) and drawn.get_array() is not None:
            yield from _cells(drawn.get_array(), x_name, y_name, 0.5)
    for image in axes.images:
        yield from _cells(image.get_array(), x_name, y_name, 0.0)


def _cells(array, x_name, y_name, middle: float):
    for (row, column), value in np.ndenumerate(np.atleast_2d(np.ma.filled(array.astype(float), np.nan))):
        yield _row("", x_name(column + middle), y_name(row + middle)) | {"value": float(value)}


def _data(line):
    return zip(np.asarray(line.get_xdata(orig=False)), np.asarray(line.get_ydata(orig=False)), strict=True)


def _row(series: object, x, y, low: float = np.nan, high: float = np.nan) -> dict:
    series = str(series)
    return {"series": "" if series.startswith("_") else series, "x": x, "y": y, "low": low, "high": high}


def _names(axis: Axis):
    """Names a place on an axis: its category, where the ticks are names, else the number itself."""
    labels = [" ".join(label.get_text().split()) for label in axis.get_majorticklabels()]
    named = dict(zip(map(float, axis.get_majorticklocs()), labels))
    if all(re.fullmatch(r"[-−+\d.,e×\s%]*|.*\$.*", label) for label in labels):
        named = {}
    return lambda place: named.get(float(place)) or float(place)
