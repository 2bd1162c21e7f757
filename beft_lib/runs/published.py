"""The index of published records: which data and weights the runs behind a report were made from.

With `--published` a report's records take the run store's place (see `records`). A run is then found without its data
set: its source, its recipe and the identities of data and weights are the index's, and nothing is trained.
"""

from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from beft_lib import workspace
from beft_lib.errors import UserError, unknown

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
    machine: str = ""  # processor and versions that the runs were made with,
    machines: dict[str, str] = {}  # but for those of these models, and of these settings of a model (`setting`)
    tasks: dict[str, Data] = {}
    models: dict[str, str] = {}  # name → identity of the weights
    recipe: Literal[2, 3] = 2  # of the runs (see `spec.RECIPE_VERSION`),
    recipes: dict[str, Literal[2, 3]] = {}  # but for those of these models

    def machine_of(self, model: str, setting: str = "") -> str | None:
        """What the model's runs were made with, or those of one of its settings; None if there are none."""
        usual = self.machines.get(model, self.machine) if model in self.models else None
        return self.machines.get(setting, usual)

    def recipe_of(self, model: str) -> int:
        """Of the model's runs, which are compared with each other."""
        return self.recipes.get(model, self.recipe)

    def data(self, task: str) -> Data:
        if task not in self.tasks:
            raise unknown("task in the published records:", task, self.tasks)
        return self.tasks[task]

    def weights(self, model: str) -> str:
        if model not in self.models:
            raise unknown("model in the published records:", model, self.models)
        return self.models[model]


def setting(spec: dict[str, Any]) -> str:
    """Which runs are compared with each other, and so are all of one machine: those on as much of the same data."""
    return f"{spec['model']}, {spec['task']}, {spec['n_train']} examples"


def read_index(folder: Path) -> Index:
    """The index of a records folder; `UserError` if there is none."""
    try:
        stat = (folder / INDEX).stat()
        return _parsed(folder / INDEX, (stat.st_mtime_ns, stat.st_size, stat.st_ino))
    except OSError:
        raise UserError(
            f"--published: there are no published records in {folder} (no {INDEX}); leave it out to make the runs, "
            "or give the report's folder with --out"
        ) from None


@cache
def _parsed(file: Path, state: tuple[int, ...]) -> Index:
    try:
        return Index.model_validate_json(file.read_bytes())
    except ValidationError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{file} is not the index of published records: {reason}; restore the file") from None


def published() -> Index | None:
    """The index of the records that stand in for the run store; None while runs are made."""
    return read_index(workspace.runs_folder()) if workspace.published() else None
