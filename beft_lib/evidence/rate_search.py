"""Choosing a learning rate on development examples: held out of the training split, never the validation set.

The runs of a search differ in their learning rate alone and are scored after every epoch. The rule: the rate with the
highest mean score over the second half of its epochs, the smaller one of equals. A single epoch's best score on a few
hundred examples would be luck.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from beft_lib import tasks
from beft_lib.runs import RunResult, RunSpec, store
from beft_lib.tuning import methods


def plateau(result: RunResult) -> float:
    """The mean score over the second half of the epochs, as a fraction; −inf for a run that failed."""
    if not result.done:
        return -np.inf
    curve = [epoch.metrics[0].value for epoch in result.curve]
    return float(np.mean(curve[len(curve) // 2 :]))


def choose(specs: Sequence[RunSpec], by: str = "task") -> dict[str, float]:
    """The learning rate of each task (or other field of the specs, `by`), from the stored runs of a search.

    Left out is one whose runs all failed.
    """
    found: dict[str, dict[float, float]] = {}
    for spec in specs:
        if (result := store.trusted(spec)) is not None:
            found.setdefault(getattr(spec, by), {})[spec.learning_rate] = plateau(result)
    return {
        key: min(scores, key=lambda rate: (-scores[rate], rate))
        for key, scores in found.items()
        if max(scores.values()) > -np.inf
    }


def table(search: Sequence[RunSpec], used: Sequence[RunSpec], by: str = "task") -> pd.DataFrame:
    """A row a task (or other field, `by`) and learning rate: scores in percent, and whether the runs `used` have it."""
    rates = {getattr(spec, by): (spec.learning_rate, spec.epochs) for spec in reversed(used)}
    chosen, rows = choose(search, by), []
    for spec in search:
        if (result := store.trusted(spec)) is None:
            continue
        key = getattr(spec, by)
        row = {by: _title(key, by), "metric": tasks.get(spec.task).metric, "n": spec.n_train, "epochs": spec.epochs}
        row |= {"learning rate": f"{spec.learning_rate:g}"}
        if result.done:
            curve = [100 * epoch.metrics[0].value for epoch in result.curve]
            row |= {"second half %": f"{100 * plateau(result):.1f}", "last epoch %": f"{curve[-1]:.1f}"}
            row |= {"best epoch %": f"{max(curve):.1f} (epoch {int(np.argmax(curve)) + 1})"}
        else:
            row |= {"second half %": "diverged"}
        row["chosen"] = "yes" if chosen.get(key) == spec.learning_rate else ""
        rate, epochs = rates.get(key, (None, None))
        row["used"] = f"for {epochs} epochs" if rate == spec.learning_rate else ""
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def sentences(search: Sequence[RunSpec], used: Sequence[RunSpec], by: str = "task") -> list[str]:
    """Whether the runs use what the search chose, in words."""
    rates = {getattr(spec, by): spec.learning_rate for spec in reversed(used)}
    chosen = choose(search, by)
    other = [
        f"{_title(key, by)} ({rates[key]:g} instead of {chosen[key]:g})"
        for key in chosen
        if rates.get(key, chosen[key]) != chosen[key]
    ]
    said = []
    if failed := [key for key in dict.fromkeys(getattr(spec, by) for spec in search) if key not in chosen]:
        named = ", ".join(_title(key, by) for key in failed)
        said.append(f"Nothing was chosen for {named}: every run of the search failed.")
    if other:
        said.append("Not the rule's choice is used for " + ", ".join(other) + ".")
    return said or [f"Every searched {by} uses the rate that the rule chose."]


def _title(key: str, by: str) -> str:
    return methods.title(key) if by == "method" else key
