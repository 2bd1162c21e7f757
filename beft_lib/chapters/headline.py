"""The one figure of a report's first screen: head, b_q, b_v and all biases wherever something was learned."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from beft_lib import models, tasks
from beft_lib.chapters import paper
from beft_lib.chapters.style import COLOURS, FAINT, MARKERS, error_bars, look, method_handles, styled, subplots
from beft_lib.evidence import Comparison

METHODS = ("head_only", "query", "value", "all_biases")
PRINTED = ("query", "value")  # the methods here that the paper's Table 1 has


def settings(compared: Mapping[str, Sequence[Comparison]]) -> list[Comparison]:
    """The settings of encoders in which all four were tuned and something was learned, each once, model by model.

    Where notebooks share a setting, the first one's runs stand; a learning rate or heads of its own are none of these.
    """
    found: dict[tuple[str, str, str], Comparison] = {}
    for own in compared.values():
        for c in own:
            if c.prompts or c.variant or c.regime == "custom" or not set(METHODS) <= set(c.scores) or not c.learned:
                continue
            found.setdefault((c.model, c.task, c.regime), c)
    places = {key: place for place, key in enumerate(dict.fromkeys(part for key in found for part in key[:2]))}
    return sorted(found.values(), key=lambda c: (places[c.model], places[c.task], c.n_train))


def printed(comparison: Comparison, method: str) -> float | None:
    """What the paper's BERT-base scores there in its Table 1, if it has the cell."""
    table = paper.numbers("table1")
    theirs = table.get(comparison.regime, {}).get(method)
    return theirs[table["columns"].index(comparison.title)] if theirs and comparison.title in table["columns"] else None


@styled
def figure(chosen: Sequence[Comparison]) -> Figure:
    """A panel a model, a row a setting: four scores with 95 % intervals over seeds; hollow: the paper's BERT-base."""
    names = list(dict.fromkeys(c.model for c in chosen))
    counts = [sum(c.model == name for c in chosen) for name in names]
    size = (5.6, 1.3 + 0.62 * len(chosen) + 0.35 * len(names))
    drawn, axes = subplots(len(names), 1, *size, squeeze=False, sharex=True, gridspec_kw={"height_ratios": counts})
    theirs = False
    for (axis,), name in zip(axes, names):
        own = [c for c in chosen if c.model == name]
        for place, method in enumerate(METHODS):
            rows = [row + 0.16 * (place - 1.5) for row in range(len(own))]
            error_bars(axis, rows, [c.score(method) for c in own], along="x", **look(method), lw=1.4)
            if method in PRINTED:
                marks = [(value, row) for c, row in zip(own, rows) if (value := printed(c, method)) is not None]
                theirs |= bool(marks)
                style = {"mfc": "none", "mec": COLOURS[method], "ms": 6, "ls": "none"}
                axis.plot([x for x, _ in marks], [y for _, y in marks], MARKERS[method], **style)
        axis.set_yticks(range(len(own)), [f"{tasks.title(c.task)}, {c.regime}\nn = {c.n_train:,}" for c in own])
        axis.set_ylim(len(own) - 0.5, -0.5)
        axis.set_title(models.title(name), loc="left")
        axis.grid(axis="x", color="0.92")
    axes[-1][0].set_xlabel("score in %: " + ", ".join(dict.fromkeys(f"{c.metric}" for c in chosen)))
    handles = method_handles(METHODS, ls="none")
    if theirs:
        handles.append(Line2D([], [], marker="o", mfc="none", mec=FAINT, ls="none", label="the paper's BERT-base"))
    drawn.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return drawn


def caption(chosen: Sequence[Comparison], toys: bool) -> str:
    """What stands below it: what is drawn, and over what the intervals are."""
    seeds = sorted({len(c.scores.dropna()) for c in chosen})
    over = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    hollow = (
        ""
        if toys or not any(printed(c, m) for c in chosen for m in PRINTED)
        else (" Hollow marks: the paper's BERT-base, one seed.")
    )
    return (
        f"{'Toy data. ' if toys else ''}Scores of the head alone, b_q, b_v and all biases in the {len(chosen)} "
        f"settings in which something was learned; bars are 95 % intervals over {over} seeds.{hollow}"
    )


def described(chosen: Sequence[Comparison]) -> str:
    """The figure in words, for whoever does not see it: each setting's four scores."""
    rows = [
        f"{models.title(c.model)} on {tasks.title(c.task)}, {c.regime} data: "
        f"head alone {c.score('head_only').mean:.1f}, b_q {c.score('query').mean:.1f}, "
        f"b_v {c.score('value').mean:.1f}, all biases {c.score('all_biases').mean:.1f}"
        for c in chosen
    ]
    return "Dots with intervals, a row a setting. " + "; ".join(rows) + "."
