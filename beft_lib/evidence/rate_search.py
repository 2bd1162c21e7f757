"""Choosing a learning rate on development examples: held out of the training split, never the validation set.

The runs of a search differ in their learning rate alone and are scored after every epoch. The rule: the rate with the
highest mean score over the second half of its epochs and over the search's seeds, the smaller one of equals. A single
epoch's best score on a few hundred examples would be luck. A rate that is searched with one method favours that method:
in a fair comparison each has its own, from as many runs.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from beft_lib import tasks
from beft_lib.runs import RunResult, RunSpec, store
from beft_lib.tuning import methods

BOTH = "task and method"  # what a search that gives each method its own rate is chosen by


def plateau(result: RunResult) -> float:
    """The mean score over the second half of the epochs, as a fraction; −inf for a run that failed."""
    if not result.done:
        return -np.inf
    curve = [epoch.metrics[0].value for epoch in result.curve]
    return float(np.mean(curve[len(curve) // 2 :]))


def choose(specs: Sequence[RunSpec], by: str = "task") -> dict[str, float]:
    """The learning rate of each task (or other field of the specs, `by`), from the stored runs of a search.

    A rate's score is the mean over its seeds; one that diverged in any of them is not chosen. Left out is a task whose
    rates all failed. `by`: a field, or `BOTH`.
    """
    return {
        key: min(scores, key=lambda rate: (-np.mean(scores[rate]), rate))
        for key, scores in _plateaus(specs, by).items()
        if max(map(np.mean, scores.values())) > -np.inf
    }


def _plateaus(specs: Sequence[RunSpec], by: str) -> dict[str, dict[float, list[float]]]:
    """By key and learning rate, the plateau of every seed."""
    found: dict[str, dict[float, list[float]]] = {}
    for spec in specs:
        if (result := store.trusted(spec)) is not None:
            found.setdefault(_key(spec, by), {}).setdefault(spec.learning_rate, []).append(plateau(result))
    return found


def stability(specs: Sequence[RunSpec], by: str = "task") -> dict[str, str]:
    """Whether each choice would have been the same with any one of the search's seeds.

    "stable", "unstable" where single seeds choose different rates (as where one rate has 66, 78 and 50 points), or "one
    seed", which cannot tell.
    """
    found = {}
    for key in choose(specs, by):
        own = [spec for spec in specs if _key(spec, by) == key]
        seeds = dict.fromkeys(spec.seed for spec in own)
        chosen = {choose([spec for spec in own if spec.seed == seed], by).get(key) for seed in seeds}
        found[key] = "one seed" if len(seeds) < 2 else "stable" if len(chosen) == 1 else "unstable"
    return found


def table(search: Sequence[RunSpec], used: Sequence[RunSpec], by: str = "task") -> pd.DataFrame:
    """A row a task (or other field, `by`) and learning rate: scores in percent, and whether the runs `used` have it.

    Of several seeds: the mean, and each seed's own.
    """
    rates = {_key(spec, by): (spec.learning_rate, spec.epochs) for spec in reversed(used)}
    chosen, steady = choose(search, by), stability(search, by)
    runs: dict[tuple[str, float], list[tuple[RunSpec, RunResult]]] = {}
    for spec in search:
        if (result := store.trusted(spec)) is not None:
            runs.setdefault((_key(spec, by), spec.learning_rate), []).append((spec, result))
    rows = []
    for (key, tried), own in runs.items():
        spec = own[0][0]
        row = {by: _title(key, by), "metric": tasks.get(spec.task).metric, "n": spec.n_train, "epochs": spec.epochs}
        row |= {"learning rate": f"{tried:g}"} | _scores([result for _, result in own])
        row["chosen"] = "" if chosen.get(key) != tried else "yes" + ", unstable" * (steady[key] == "unstable")
        rate, epochs = rates.get(key, (None, None))
        row["used"] = f"for {epochs} epochs" if rate == tried else ""
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def _scores(results: Sequence[RunResult]) -> dict[str, str]:
    """The cells of one rate: its score by the rule, and for comparison the last and the best epoch's."""
    if not all(result.done for result in results):
        return {"second half %": "diverged"}
    curves = np.array([[100 * epoch.metrics[0].value for epoch in result.curve] for result in results])
    halves, mean = [100 * plateau(result) for result in results], curves.mean(0)
    each = f" ({', '.join(f'{half:.1f}' for half in halves)})" if len(halves) > 1 else ""
    return {
        "second half %": f"{np.mean(halves):.1f}{each}",
        "last epoch %": f"{mean[-1]:.1f}",
        "best epoch %": f"{mean.max():.1f} (epoch {int(mean.argmax()) + 1})",
    }


def sentences(search: Sequence[RunSpec], used: Sequence[RunSpec], by: str = "task") -> list[str]:
    """Whether the runs use what the search chose, and which choices are unstable, in words."""
    rates = {_key(spec, by): spec.learning_rate for spec in reversed(used)}
    chosen, steady = choose(search, by), stability(search, by)
    other = [
        f"{_title(key, by)} ({rates[key]:g} instead of {chosen[key]:g})"
        for key in chosen
        if rates.get(key, chosen[key]) != chosen[key]
    ]
    said = []
    if failed := [key for key in dict.fromkeys(_key(spec, by) for spec in search) if key not in chosen]:
        named = ", ".join(_title(key, by) for key in failed)
        said.append(f"Nothing was chosen for {named}: every run of the search failed.")
    if other:
        said.append("Not the rule's choice is used for " + ", ".join(other) + ".")
    said = said or [f"Every searched {by} uses the rate that the rule chose."]
    if unstable := [_title(key, by) for key, how in steady.items() if how == "unstable"]:
        said.append(f"The choice is unstable for {', '.join(unstable)}: other seeds of the search choose other rates.")
    return said


def _key(spec: RunSpec, by: str) -> str:
    return f"{spec.task}, {methods.title(spec.method)}" if by == BOTH else getattr(spec, by)


def _title(key: str, by: str) -> str:
    return methods.title(key) if by == "method" else key
