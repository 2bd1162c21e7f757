"""Notebook 05: what each way of using a decoder achieves with how many tuned scalars."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from beft_lib.chapters.autoregressive import plan as autoregressive
from beft_lib.evidence import Comparison
from beft_lib.tuning import methods

from ..style import FAINT, INK, error_bars, grey_idle, look, styled, subplots

BESIDE = {"query": 0.75, "key": 1.33}  # b_q, b_k and b_v may have one number of scalars: set apart, to be seen
LINES = {"zero_shot": (INK, ":"), "in_context": (FAINT, "--")}  # methods that tune nothing


@styled
def scores_over_scalars(comparisons: Sequence[Comparison]) -> Figure:
    """A panel a task: the score over the number of tuned scalars (log), lines for what tunes none; 95 % intervals."""
    columns = min(3, len(comparisons))
    rows = -(-len(comparisons) // columns)
    figure, axes = subplots(rows, columns, 3.3 * columns + 0.4, 2.9 * rows + 0.7, squeeze=False)
    for axis in axes.flat[len(comparisons) :]:
        axis.set_axis_off()
    for axis, c in zip(axes.flat, comparisons):
        for method in autoregressive.METHODS:
            if method not in c.scores:
                continue
            score = c.score(method)
            if method in LINES:
                colour, dashes = LINES[method]
                axis.axhline(score.mean, color=colour, ls=dashes, lw=1.4, label=methods.title(method))
                continue
            result = c.result_of(method)
            assert result is not None, f"{method} has a score"
            scalars = BESIDE.get(method, 1) * result.cost["trainable"]
            style = {"ms": 7, "capsize": 2.5, "lw": 0, "elinewidth": 1.1, "label": methods.title(method)}
            error_bars(axis, [scalars], [score], **look(method) | style)
        grey_idle(axis, c)
        axis.set_xscale("log")
        metric = c.metric.partition("_")[2].upper() or c.metric if c.metric != "accuracy" else c.metric
        axis.set(title=c.title, xlabel="tuned scalars (log)", ylabel=f"{metric} (%)")
    handles = {label: h for axis in axes.flat for h, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False, columnspacing=1.2
    )
    return figure
