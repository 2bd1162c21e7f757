"""Notebook 03: score against what a method costs, mixtures of two b_v, and the angles between their changes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from beft_lib import tasks
from beft_lib.chapters.efficiency import plan as efficiency
from beft_lib.evidence import Comparison, cosines, stats
from beft_lib.runs.timing import Timing
from beft_lib.tuning import methods

from ..style import FAINT, INK, error_bars, grey_idle, look, panel, styled, subplots


@styled
def score_against_cost(comparison: Comparison, timing: Timing) -> Figure:
    """Two panels: the score over the share of the model that trains, and over the seconds of a run; 95 % intervals.

    Seconds: what the timed run took outside the loop, and its loop as often as the scored runs went through theirs.
    """
    figure, axes = subplots(1, 2, 9.6, 3.9, sharey=True)
    head = timing.of("head_only")[0].trainable
    for method in [m for m in timing.methods if m in comparison.scores]:
        score, turn = comparison.score(method), timing.of(method)[0]
        trains = turn.trainable if method in ("full", "head_only") else turn.trainable - head
        style = look(method) | {"ms": 8, "lw": 0, "elinewidth": 1.1}
        error_bars(axes[0], [100 * trains / turn.parameters], [score], **style)
        seconds = _seconds(comparison, timing, method)
        error_bars(axes[1], [seconds], [score], label=methods.title(method), **style)
    for axis in axes:
        grey_idle(axis, comparison)
    axes[0].set_xscale("log")
    axes[0].set(xlabel="scalars that train, % of the model (log)", ylabel=f"{comparison.metric} (%)")
    axes[1].set(xlabel="seconds of a run", xlim=(0, None))
    figure.legend(loc="outside lower center", ncols=len(timing.methods), frameon=False, columnspacing=1.2)
    return figure


def _seconds(comparison: Comparison, timing: Timing, method: str) -> float:
    """The median time of a run as long as the comparison's, from the timed one."""
    spec = comparison.run_of(method)

    def whole(turn) -> float:
        return turn.seconds + turn.loop_seconds * (spec.epochs * spec.n_train / turn.samples - 1)

    return timing.median(method, whole)


TASK_COLOURS = ("#332288", "#AA4499")  # of the two tasks: none of a bias term's


@styled
def mixtures(comparisons: Sequence[Comparison]) -> Figure:
    """The score on both tasks over the weight of the second one's b_v, and dashed with the pre-trained b_v; a task on
    which nothing was learned in grey."""
    figure, axis = panel(6.6, 3.9)
    for place, (c, colour) in enumerate(zip(comparisons, TASK_COLOURS)):
        shares = {share: arm for arm in c.scores if (share := efficiency.share_of(arm)) is not None}
        across = [share if place else 1 - share for share in shares]
        label = f"{tasks.title(c.task)}, {c.metric}"
        if not c.learned:
            colour, label = FAINT, f"{label} (nothing learned)"
        scores = [c.score(arm) for arm in shares.values()]
        _band(axis, across, scores, colour=colour, marker="os"[place], label=label)
        if efficiency.BASE in c.scores:
            axis.axhline(c.score(efficiency.BASE).mean, color=colour, ls="--", lw=1)
    axis.axvline(0.5, color=FAINT, lw=0.8, ls=":")
    first, second = (tasks.title(c.task) for c in comparisons)
    axis.set(xlabel=f"weight of {second}'s b_v (the rest is {first}'s)", ylabel="score (%)")
    axis.plot([], [], color=INK, ls="--", lw=1, label="pre-trained b_v")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _band(
    axis, across: Sequence[float], scores: Sequence[stats.Estimate], *, colour: str, marker: str, label: str
) -> None:
    order = np.argsort(across)
    x, estimates = np.asarray(across)[order], [scores[i] for i in order]
    axis.plot(x, [e.mean for e in estimates], f"{marker}-", color=colour, ms=6, mec="white", label=label)
    if not any(np.isnan(e.low) for e in estimates):
        axis.fill_between(x, [e.low for e in estimates], [e.high for e in estimates], color=colour, alpha=0.15, lw=0)


@styled
def cosines_by_layer(across: pd.DataFrame, apart: pd.DataFrame, kin: pd.DataFrame) -> Figure:
    """The cosine of two changes of b_v in each layer: of two tasks, of two seeds of one task, and the null band."""
    figure, axis = panel(8.2, 3.8)
    layers = list(dict.fromkeys(across.layer))
    x = np.arange(len(layers))
    shown = [(across, "#555555", "o", "two tasks, one seed"), (apart, "#999999", "^", "two tasks, two seeds")]
    for task, colour, marker in zip(dict.fromkeys(kin.task), TASK_COLOURS, "sD"):
        shown.append((kin[kin.task == task], colour, marker, f"{tasks.title(task)}, two seeds"))
    for place, (frame, colour, marker, label) in enumerate(shown):
        by_layer = [cosines.cosine(frame, layer) for layer in layers]
        if not all(np.isnan(estimate.mean) for estimate in by_layer):
            error_bars(axis, x + 0.17 * (place - 1.5), by_layer, fmt=marker, color=colour, label=label)
    null = np.array([cosines.null(across, layer) for layer in layers])
    axis.bar(x, 2 * null, bottom=-null, width=0.8, color=FAINT, alpha=0.35, lw=0, label="random directions, 95 %")
    axis.axhline(0, color=INK, lw=0.7)
    axis.set_xticks(x, [layer.replace(" ", "\n") for layer in layers])
    axis.set(xlabel="layer", ylabel="cosine of two changes")
    figure.legend(loc="outside lower center", ncols=5, frameon=False, columnspacing=1.0)
    return figure
