"""Notebook 03: score against what a method costs, mixtures of two b_v, and the angles between their changes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from beft_lib import merging, methods, stats, tasks
from beft_lib.evidence import Comparison
from beft_lib.experiments import efficiency
from beft_lib.timing import Timing

from .style import COLOURS, FAINT, INK, MARKERS, styled, subplots


@styled
def score_against_cost(comparison: Comparison, timing: Timing) -> Figure:
    """Two panels: the score over the share of the model that trains, and over the seconds of a run; 95 % intervals."""
    figure, axes = subplots(1, 2, 9.6, 3.9, sharey=True)
    head = timing.of("head_only")[0].trainable
    for method in [m for m in timing.methods if m in comparison.scores]:
        found, turn = comparison.score(method), timing.of(method)[0]
        low, high = np.nan_to_num([found.mean - found.low, found.high - found.mean])
        trains = turn.trainable if method in ("full", "head_only") else turn.trainable - head
        style = {"fmt": MARKERS[method], "color": COLOURS[method], "ms": 8, "mec": "white", "capsize": 3, "lw": 0}
        style |= {"elinewidth": 1.1, "yerr": [[low], [high]]}
        axes[0].errorbar(100 * trains / turn.parameters, found.mean, **style)
        label = methods.title(method)
        axes[1].errorbar(timing.median(method, lambda t: t.seconds), found.mean, label=label, **style)
    axes[0].set_xscale("log")
    axes[0].set(xlabel="scalars that train, % of the model (log)", ylabel=f"{comparison.metric} (%)")
    axes[1].set(xlabel="seconds of the timed run", xlim=(0, None))
    figure.legend(loc="outside lower center", ncols=len(timing.methods), frameon=False, columnspacing=1.2)
    return figure


@styled
def mixtures(comparisons: Sequence[Comparison]) -> Figure:
    """The score on both tasks over the weight of the second one's b_v, and dashed with the pre-trained b_v."""
    figure, axis = subplots(1, 1, 6.6, 3.9)
    for place, (c, marker) in enumerate(zip(comparisons, "os")):
        shares = sorted(s for s in np.linspace(0, 1, 101).round(4) if efficiency.arm(float(s)) in c.scores)
        across = [share if place else 1 - share for share in shares]
        _band(
            axis,
            across,
            [c.score(efficiency.arm(float(s))) for s in shares],
            COLOURS["value" if place else "query"],
            marker,
            tasks.get(c.task).title,
        )
        if efficiency.BASE in c.scores:
            axis.axhline(c.score(efficiency.BASE).mean, color=COLOURS["value" if place else "query"], ls="--", lw=1)
    axis.axvline(0.5, color=FAINT, lw=0.8, ls=":")
    first, second = (tasks.get(c.task).title for c in comparisons)
    axis.set(xlabel=f"weight of {second}'s b_v (the rest is {first}'s)", ylabel=f"{comparisons[0].metric} (%)")
    axis.plot([], [], color=INK, ls="--", lw=1, label="pre-trained b_v")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _band(axis, across: Sequence[float], found: Sequence[stats.Estimate], colour: str, marker: str, label: str) -> None:
    order = np.argsort(across)
    x, estimates = np.asarray(across)[order], [found[i] for i in order]
    axis.plot(x, [e.mean for e in estimates], f"{marker}-", color=colour, ms=6, mec="white", label=label)
    if not any(np.isnan(e.low) for e in estimates):
        axis.fill_between(x, [e.low for e in estimates], [e.high for e in estimates], color=colour, alpha=0.15, lw=0)


@styled
def cosines_by_layer(across: pd.DataFrame, within: pd.DataFrame) -> Figure:
    """The cosine between two tasks' changes of b_v in each layer, between two seeds of one task, and the null band."""
    figure, axis = subplots(1, 1, 6.6, 3.6)
    layers = [layer for layer in dict.fromkeys(across.layer)]
    x = np.arange(len(layers))
    for frame, colour, marker, label, shift in (
        (across, COLOURS["value"], "o", "two tasks, one seed", -0.1),
        (within, COLOURS["all_biases"], "s", "one task, two seeds", 0.1),
    ):
        found = [merging.cosine(frame, layer) for layer in layers]
        if all(np.isnan(e.mean) for e in found):
            continue
        errors = np.nan_to_num([[e.mean - e.low for e in found], [e.high - e.mean for e in found]])
        middle = [e.mean for e in found]
        axis.errorbar(
            x + shift, middle, yerr=errors, fmt=marker, color=colour, ms=6, mec="white", capsize=3, label=label
        )
    null = np.array([1.96 * across[across.layer == layer].null.mean() for layer in layers])
    axis.bar(x, 2 * null, bottom=-null, width=0.8, color=FAINT, alpha=0.35, lw=0, label="random directions, 95 %")
    axis.axhline(0, color=INK, lw=0.7)
    axis.set_xticks(x, [layer.replace(" ", "\n") for layer in layers])
    axis.set(xlabel="layer", ylabel="cosine")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
