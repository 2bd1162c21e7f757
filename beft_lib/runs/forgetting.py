"""A data set of one's own removed again: its copy beside the runs, and the runs themselves."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from beft_lib import workspace
from beft_lib.errors import UserError, unknown
from beft_lib.tasks.catalogue import own_folder


@dataclass(frozen=True)
class Forgotten:
    """What was removed: the copy of the data, how many runs, and how many bytes in all."""

    data: Path
    runs: int
    size: int


def tasks_of_ones_own() -> list[str]:
    """The names of the tasks in the run store that were made of data of one's own."""
    folder = own_folder()
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def forget(task: str) -> Forgotten:
    """Remove a task made of data of one's own, its rows and every run on it; adapters that were saved stay.

    Raises `UserError` for a name that is none of these.
    """
    if task not in (names := tasks_of_ones_own()):
        if not names:
            raise UserError(f"task {task!r}: no data of one's own is in {own_folder()}; name its store (--runs)")
        raise unknown("task of one's own", task, names)
    data, removed = own_folder() / task, 0
    size = _size(data)
    for run in list(workspace.runs_folder().iterdir()):
        if _is_of(run, task):
            size += _size(run)
            shutil.rmtree(run)
            removed += 1
            work = run.with_name(f"{run.name}.work")
            if work.is_dir():
                shutil.rmtree(work)
    shutil.rmtree(data)
    return Forgotten(data, removed, size)


def _is_of(run: Path, task: str) -> bool:
    """Whether the folder is a run on the task."""
    try:
        found = json.loads((run / "result.json").read_bytes())
        return found["spec"]["task"] == task
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
