"""Fig. 4: rank and score over data regimes; and how early in a run the ranking is known."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from beft_lib import tasks
from beft_lib.chapters import names
from beft_lib.evidence import Comparison, stats
from beft_lib.tuning import methods

from ..style import (
    APPROACHES,
    COLOURS,
    FAINT,
    IDLE,
    MARKERS,
    error_bars,
    legend_below,
    look,
    method_handles,
    panel,
    styled,
    subplots,
)


@styled
def ranking_over_regimes(comparisons: Sequence[Comparison], approaches: Sequence[str]) -> Figure:
    """Fig. 4: a row a task; each term's place among all bias terms over data regimes, a column an approach, and the
    score of tuning each term alone in the last column, with 95 % intervals over seeds.

    b_q, b_k and b_v in colour, every other bias term as a thin line. Regimes in which nothing was learned are greyed.
    """
    compared = list(dict.fromkeys(c.task for c in comparisons))
    size = (2.05 * (len(approaches) + 1) + 0.6, 2.5 * len(compared) + 0.6)
    figure, axes = subplots(len(compared), len(approaches) + 1, *size, squeeze=False)
    for row, task in zip(axes, compared):
        on_task = sorted((c for c in comparisons if c.task == task), key=lambda c: c.n_train)
        for axis, approach in zip(row, approaches):
            _places_over_regimes(axis, on_task, approach)
        _scores_over_regimes(row[-1], on_task)
        row[0].set_ylabel(f"{tasks.title(task)}\nimportance rank", fontsize=10)
        for axis in row:
            axis.set_xticks(range(len(on_task)), [f"{c.regime}\n{c.n_train:,}" for c in on_task], fontsize=8)
            axis.set_xlim(-0.35, len(on_task) - 0.65)
            for place, comparison in enumerate(on_task):
                if not comparison.learned:  # greyed: what stands there says nothing
                    axis.axvspan(place - 0.3, place + 0.3, color=IDLE, zorder=0)
    for axis, approach in zip(axes[0], approaches):
        axis.set_title(names.TITLES[approach].replace(" (", "\n("), fontsize=9.5)
    axes[0][-1].set_title("Score when\ntuned alone", fontsize=9.5)
    shown = (*methods.ATTENTION_TERMS, "all_biases", "head_only")
    handles = method_handles(shown)
    handles.append(Line2D([], [], color=FAINT, lw=0.8, label="other biases"))
    legend_below(figure, handles)
    return figure


def _places_over_regimes(axis, on_task: Sequence[Comparison], approach: str) -> None:
    """One panel: places from 1 at the top, a line a term."""
    places = [{term: rank.place for term, rank in c.places(approach).items()} for c in on_task]
    terms = dict.fromkeys(term for by_term in places for term in by_term)  # none where ranking runs failed
    for term in sorted(terms, key=lambda term: term in methods.ATTENTION_TERMS):
        line = [place.get(term, np.nan) for place in places]
        if term in methods.ATTENTION_TERMS:
            axis.plot(line, marker=MARKERS[term], color=COLOURS[term], ms=7, mec="white", lw=1.6)
        else:
            axis.plot(line, color=FAINT, lw=0.8, alpha=0.7)
    axis.set_ylim(max(1, len(terms)) + 0.6, 0.4)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))


def _scores_over_regimes(axis, on_task: Sequence[Comparison]) -> None:
    """One panel: the score of each method over regimes, drawn side by side."""
    shown = [m for m in ("head_only", "all_biases", *methods.ATTENTION_TERMS) if m in on_task[0].scores]
    shown = [m for m in shown if not (m == "key" and on_task[0].serves_key)]  # it would hide the head's line
    for place, method in enumerate(shown):
        across = np.arange(len(on_task)) + 0.07 * (place - (len(shown) - 1) / 2)
        scores = [c.score(method) for c in on_task]
        error_bars(axis, across, scores, **look(method, "-"), capsize=2, lw=1.2, elinewidth=0.9)
    axis.yaxis.tick_right()
    axis.spines["left"].set_visible(False)
    axis.spines["right"].set_visible(True)
    axis.set_ylabel(f"{on_task[0].metric} (%)", fontsize=9)
    axis.yaxis.set_label_position("right")


@styled
def agreement_along(agreements: Mapping[str, Mapping[float, stats.Estimate]]) -> Figure:
    """How often the choice after a share of the steps is the one at the end: a line an approach, with intervals."""
    figure, axis = panel(6.4, 3.4)
    for place, (approach, agreement) in enumerate(agreements.items()):
        shares = 100 * np.array(sorted(agreement)) * 1.06 ** (place - (len(agreements) - 1) / 2)
        estimates = [agreement[share] for share in sorted(agreement)]
        colour, marker = APPROACHES[approach]
        error_bars(axis, shares, estimates, fmt=f"{marker}-", color=colour, label=names.TITLES[approach])
    axis.set_xscale("log")
    ticks = sorted({100 * share for agreement in agreements.values() for share in agreement})
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set(xlabel="share of the run's steps (%)", ylabel="runs with the final choice (%)", ylim=(-4, 104))
    axis.legend(frameon=False, loc="lower right")
    return figure
