"""Fig. 4: rank and score over data regimes; and how early in a run the ranking is known."""

from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from beft_lib.chapters import names
from beft_lib.evidence import Comparison, stats
from beft_lib.tuning import methods

from ..style import APPROACHES, COLOURS, FAINT, MARKERS, styled, subplots


@styled
def ranking_over_regimes(comparisons: Sequence[Comparison], approaches: Sequence[str]) -> Figure:
    """Fig. 4: a row a task; each term's place among all bias terms over data regimes, a column an approach, and the
    score of tuning each term alone in the last column, with 95 % intervals over seeds.

    b_q, b_k and b_v in colour, every other bias term as a thin line.
    """
    tasks = list(dict.fromkeys(c.task for c in comparisons))
    figure, axes = subplots(
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
        axis.set_title(names.TITLES[approach].replace(" (", "\n("), fontsize=9.5)
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
    figure, axis = subplots(1, 1, 6.4, 3.4)
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
            label=names.TITLES[approach],
        )
    axis.set_xscale("log")
    ticks = sorted({100 * share for found in agreements.values() for share in found})
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set(xlabel="share of the run's steps (%)", ylabel="runs with the final choice (%)", ylim=(-4, 104))
    axis.legend(frameon=False, loc="lower right")
    return figure
