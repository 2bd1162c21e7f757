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


def plateau(result: RunResult) -> float:
    """The mean score over the second half of the epochs, as a fraction; −inf for a run that failed."""
    if not result.done:
        return -np.inf
    curve = [epoch.metrics[0].value for epoch in result.curve]
    return float(np.mean(curve[len(curve) // 2 :]))


def choose(specs: Sequence[RunSpec]) -> dict[str, float]:
    """The learning rate of each task, from the stored runs of a search; no task whose runs all failed."""
    found: dict[str, dict[float, float]] = {}
    for spec in specs:
        if (result := store.trusted(spec)) is not None:
            found.setdefault(spec.task, {})[spec.learning_rate] = plateau(result)
    return {
        task: min(scores, key=lambda rate: (-scores[rate], rate))
        for task, scores in found.items()
        if max(scores.values()) > -np.inf
    }


def table(search: Sequence[RunSpec], used: Sequence[RunSpec]) -> pd.DataFrame:
    """A row a task and learning rate of the search: scores in percent, and whether the runs `used` have that rate."""
    rates = {spec.task: (spec.learning_rate, spec.epochs) for spec in reversed(used)}
    chosen, rows = choose(search), []
    for spec in search:
        if (result := store.trusted(spec)) is None:
            continue
        row = {"task": spec.task, "metric": tasks.get(spec.task).metric, "n": spec.n_train, "epochs": spec.epochs}
        row |= {"learning rate": f"{spec.learning_rate:g}"}
        if result.done:
            curve = [100 * epoch.metrics[0].value for epoch in result.curve]
            row |= {"second half %": f"{100 * plateau(result):.1f}", "last epoch %": f"{curve[-1]:.1f}"}
            row |= {"best epoch %": f"{max(curve):.1f} (epoch {int(np.argmax(curve)) + 1})"}
        else:
            row |= {"second half %": "diverged"}
        row["chosen"] = "yes" if chosen.get(spec.task) == spec.learning_rate else ""
        rate, epochs = rates.get(spec.task, (None, None))
        row["used"] = f"for {epochs} epochs" if rate == spec.learning_rate else ""
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def sentences(search: Sequence[RunSpec], used: Sequence[RunSpec]) -> list[str]:
    """Whether the runs use what the search chose, in words."""
    rates = {spec.task: spec.learning_rate for spec in reversed(used)}
    chosen = choose(search)
    other = [f"{t} ({rates[t]:g} instead of {chosen[t]:g})" for t in chosen if rates.get(t, chosen[t]) != chosen[t]]
    said = []
    if failed := [task for task in dict.fromkeys(spec.task for spec in search) if task not in chosen]:
        said.append("Nothing was chosen for " + ", ".join(failed) + ": every run of the search failed.")
    if other:
        said.append("Not the rule's choice is used for " + ", ".join(other) + ".")
    return said or ["Every searched task uses the rate that the rule chose."]
