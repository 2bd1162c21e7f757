"""Notebook 00: how the scores went along, and which classes were taken for which."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from beft_lib.evidence import Comparison
from beft_lib.tuning import methods

from ..style import FAINT, epoch_curve, styled, subplots


@styled
def curves(comparison: Comparison, term: str, confusion: pd.DataFrame) -> Figure:
    """Left: the score after each epoch, mean over seeds, a thin line a seed. Right: the share of each class (rows) that
    was taken for each class; left out for a regression, whose `confusion` is empty.
    """
    panels = 1 if confusion.empty else 2
    figure, axes = subplots(1, panels, 4.6 * panels + 0.4, 3.4, squeeze=False)
    _curves(axes[0][0], comparison, dict.fromkeys((term, "all_biases", comparison.control)))
    if panels == 2:
        counts = confusion.to_numpy()
        shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
        names = [str(name) for name in confusion.index]
        shown = {"annot": len(names) <= 12, "fmt": ".0f", "vmin": 0, "vmax": 100, "cmap": "Blues", "square": True}
        sns.heatmap(shares, ax=axes[0][1], xticklabels=names, yticklabels=names, cbar_kws={"label": "%"}, **shown)
        axes[0][1].set_xlabel("taken for")
        axes[0][1].set_ylabel("class")
        axes[0][1].set_title(f"{methods.title(term)}, of each class, %", fontsize=9.5)
    return figure


def _curves(axis, comparison: Comparison, shown) -> None:
    for method in shown:
        if not (curve := comparison.curve(method)).empty:
            epoch_curve(axis, curve, method, faint=0.35, label=methods.title(method))
    handles = [*axis.get_legend_handles_labels()[0], Line2D([], [], color=FAINT, lw=0.8, label="one seed")]
    axis.legend(handles=handles, frameon=False)
    axis.set_xlabel("epoch")
    axis.set_ylabel(f"{comparison.metric} (%)")
    axis.xaxis.get_major_locator().set_params(integer=True)
