"""Published records: the runs behind a report, small enough to be committed beside it.

    records/index.json          where their data came from, and the identities of data and weights
    records/<run_id>/           result.json and predictions.npz of each run; the tuned biases stay in the run store

With `--published` the folder takes the run store's place. A run is then found without its data set: the index says
which data it was made with, and nothing is trained.
"""

import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from beft_lib import workspace
from beft_lib.errors import UserError, unknown

KEPT = ("result.json", "predictions.npz")
INDEX = "index.json"


class Data(BaseModel):
    """One task's data: its identity (see `tasks.version`) and how many training examples there are."""

    model_config = ConfigDict(extra="forbid")

    version: str
    train: int


class Index(BaseModel):
    """What the records' runs were made from. `source`: hub, local or bundled."""

    model_config = ConfigDict(extra="forbid")

    source: str
    tasks: dict[str, Data] = {}
    models: dict[str, str] = {}  # name → identity of the weights

    def data(self, task: str) -> Data:
        if task not in self.tasks:
            raise unknown("task in the published records:", task, self.tasks)
        return self.tasks[task]

    def weights(self, model: str) -> str:
        if model not in self.models:
            raise unknown("model in the published records:", model, self.models)
        return self.models[model]


def read_index(folder: Path) -> Index:
    """The index of a records folder; `UserError` if there is none."""
    try:
        return _parsed(folder / INDEX, (folder / INDEX).stat().st_mtime_ns)
    except OSError:
        raise UserError(
            f"--published: there are no published records in {folder} (no {INDEX}); leave it out to make the runs, "
            "or give the report's folder with --out"
        ) from None


@cache
def _parsed(file: Path, changed: int) -> Index:
    try:
        return Index.model_validate_json(file.read_bytes())
    except ValidationError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{file} is not the index of published records: {reason}; restore the file") from None


def published() -> Index | None:
    """The index of the records that stand in for the run store; None while runs are made."""
    return read_index(workspace.runs_folder()) if workspace.published() else None


def keep(results: Iterable, folder: Path) -> None:
    """Copy the stored runs of these `RunResult`s into a records folder, and bring its index up to date."""
    index = None
    for result in results:
        spec = result.spec
        if index is None:
            index = Index(source=spec["source"])
            if (folder / INDEX).is_file() and (known := read_index(folder)).source == index.source:
                index = known.model_copy(deep=True)
        index.tasks[spec["task"]] = Data(version=spec["data"], train=result.data["available"])
        index.models[spec["model"]] = spec["weights"]
        record = folder / result.run_id
        record.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            if (file := workspace.runs_folder() / result.run_id / name).is_file():
                shutil.copyfile(file, record / name)
    if index is not None:
        partial = folder / f".{INDEX}.partial"
        partial.write_text(index.model_dump_json(indent=1) + "\n", encoding="utf-8")
        partial.replace(folder / INDEX)
