"""Published records: the runs behind a report, few and small files that are committed beside it.

records/index.json     where their data came from, and the identities of data and weights (`published`)
records/*              results, predictions and timings, a few files a model and task (`archive`)
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from beft_lib import workspace
from beft_lib.errors import UserError
from beft_lib.runs import archive, store
from beft_lib.runs.published import INDEX, Data, Index, read_index, setting
from beft_lib.runs.result import Damaged, RunResult


class Kept(NamedTuple):
    """What `keep` did: runs added, by how much runs that were there differ (points of the metric), and why not more."""

    added: int
    differences: tuple[float, ...]
    notice: str = ""


class _Examined(NamedTuple):
    """What there is to do: runs to add, the index with them, and what `Kept` says of the others."""

    new: list[RunResult]
    index: Index | None
    differences: tuple[float, ...]
    notice: str = ""


def keep(results: Iterable[RunResult], folder: Path) -> Kept:
    """Copy stored runs into a records folder that lacks them, and bring its index up to date.

    A run that is there is never replaced, but compared with; one that is damaged is completed. Nothing is added to
    records of other data or weights, nor to the runs of a setting those of another processor or other versions: what is
    compared was made on one machine. Only the files of the models and tasks of added runs are written; other processes
    may keep runs in the folder at the same time. Never raises for what it finds.
    """
    if not (results := list(results)):
        return Kept(0, ())
    seen = _examine(results, folder)
    if seen.notice or (not seen.new and seen.index is None):
        return Kept(0, seen.differences, seen.notice)
    folder.mkdir(parents=True, exist_ok=True)
    with workspace.locked(folder):
        workspace.sweep_leftovers(folder)
        seen = _examine(results, folder)  # again: another process may have added runs meanwhile
        if seen.notice:
            return Kept(0, seen.differences, seen.notice)
        archive.add(folder, [(result, store.arrays(result.run_id)) for result in seen.new])
        if seen.index is not None:
            workspace.write_whole(folder / INDEX, seen.index.model_dump_json(indent=1) + "\n")
    return Kept(len(seen.new), seen.differences)


def _examine(results: list[RunResult], folder: Path) -> _Examined:
    """Look into the records, change nothing. The index is None if it is there and stays as it is."""
    try:
        index = read_index(folder) if (folder / INDEX).is_file() else None
        archive.check_lines(folder)
    except (UserError, Damaged) as error:
        return _Examined([], None, (), str(error))
    there = {name: kept for name in {r.run_id for r in results} if (kept := _whole(folder, name)) is not None}
    differences = tuple(
        100 * abs(ours.value - published.value)
        for result in results
        if result.run_id in there
        for ours, published in zip(result.metrics, there[result.run_id].result.metrics)
    )
    updated = index.model_copy(deep=True) if index else _empty(results[0])
    updated.machines |= _of_new_settings(results, updated, folder)
    for result in results:
        if not _belongs(result, updated):
            notice = (
                f"the records in {folder} were made from other data, by another recipe or on another machine, and are "
                "left alone"
            )
            return _Examined([], None, differences, notice)
        model, here = result.spec["model"], made_on(result.environment)
        if updated.machine_of(model) is None and here != updated.machine:
            updated.machines[model] = here
        if model not in updated.models and result.spec["recipe"] != updated.recipe:
            updated.recipes[model] = result.spec["recipe"]
        updated.tasks[result.spec["task"]] = _data(result)
        updated.models[model] = result.spec["weights"]
    new = [result for result in results if result.run_id not in there]
    return _Examined(new, None if updated == index else updated, differences)


def _whole(folder: Path, run_id: str) -> archive.Record | None:
    """A run that is in the records, whole; None if it is not, and is then added, or completed."""
    try:
        kept = archive.record(folder, run_id)
    except Damaged:
        return None
    return kept if kept is not None and archive.is_whole(folder, kept) else None


def _of_new_settings(results: list[RunResult], index: Index, folder: Path) -> dict[str, str]:
    """The machines of settings without a run in the records yet, where they are not the model's usual one."""
    made = {}
    for result in results:
        usual, here = index.machine_of(result.spec["model"], setting(result.spec)), made_on(result.environment)
        if usual not in (None, here):
            made.setdefault(setting(result.spec), here)
    for kept in archive.results(folder) if made else ():
        made.pop(setting(kept.spec), None)
    return made


def _empty(result: RunResult) -> Index:
    made = {"source": result.spec["source"], "recipe": result.spec["recipe"]}
    return Index(**made, machine=made_on(result.environment))


def made_on(made: dict[str, Any]) -> str:
    """The processor and the versions that an environment (see `runs.environment`) was made with."""
    return f"{made['processor']}; " + ", ".join(f"{name} {number}" for name, number in made["packages"].items())


def _data(result: RunResult) -> Data:
    return Data(version=result.spec["data"], train=result.data["available"])


def _belongs(result: RunResult, index: Index) -> bool:
    spec, data, here = result.spec, _data(result), made_on(result.environment)
    known = (index.source, index.machine_of(spec["model"], setting(spec)) or here, index.tasks.get(spec["task"], data))
    weights = index.models.get(spec["model"], spec["weights"])
    same = known == (spec["source"], here, data) and weights == spec["weights"]
    known_model = spec["model"] in index.models
    return same and (not known_model or spec["recipe"] == index.recipe_of(spec["model"]))
