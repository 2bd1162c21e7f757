"""Published records: the runs behind a report, small enough to be committed beside it.

records/index.json          where their data came from, and the identities of data and weights (`index`)
records/<run_id>/           result.json and predictions.npz of each run
records/<timing_id>/        timing.json of each timing (see `timing`)
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from beft_lib import workspace
from beft_lib.errors import UserError
from beft_lib.runs.published import INDEX, KEPT, Data, Index, read_index, setting
from beft_lib.runs.result import RunResult


class Kept(NamedTuple):
    """What `keep` did: runs added, by how much runs that were there differ (points of the metric), and why not more."""

    added: int
    differences: tuple[float, ...]
    notice: str = ""


def keep(results: Iterable[RunResult], folder: Path) -> Kept:
    """Copy stored runs into a records folder that lacks them, and bring its index up to date.

    A run that is there is never replaced, but compared with. Nothing is added to records of other data or weights, nor
    to the runs of a setting those of another processor or other versions: what is compared was made on one machine.
    Never raises for what it finds.
    """
    results = list(results)
    if not results:
        return Kept(0, ())
    try:
        index = read_index(folder) if (folder / INDEX).is_file() else _empty(results[0])
    except UserError as error:
        return Kept(0, (), str(error))
    index = index.model_copy(deep=True)
    there = {result.run_id: theirs for result in results if (theirs := _recorded(folder, result.run_id)) is not None}
    differences = [
        100 * abs(ours.value - published.value)
        for result in results
        if result.run_id in there
        for ours, published in zip(result.metrics, there[result.run_id].metrics)
    ]
    index.machines |= _of_new_settings(results, index, folder)
    for result in results:
        if not _belongs(result, index):
            notice = (
                f"the records in {folder} were made from other data, by another recipe or on another machine, and are "
                "left alone"
            )
            return Kept(0, tuple(differences), notice)
        model, here = result.spec["model"], made_on(result.environment)
        if index.machine_of(model) is None and here != index.machine:
            index.machines[model] = here
        index.tasks[result.spec["task"]] = _data(result)
        index.models[model] = result.spec["weights"]
    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        if result.run_id not in there:
            _copy(result, folder)
    partial = folder / f".{INDEX}.partial"
    partial.write_text(index.model_dump_json(indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / INDEX)
    return Kept(len(results) - len(there), tuple(differences))


def _of_new_settings(results: list[RunResult], index: Index, folder: Path) -> dict[str, str]:
    """The machines of settings without a run in the records yet, where they are not the model's usual one."""
    made = {}
    for result in results:
        usual, here = index.machine_of(result.spec["model"], setting(result.spec)), made_on(result.environment)
        if usual not in (None, here):
            made.setdefault(setting(result.spec), here)
    if made:
        for file in folder.glob("*/result.json"):
            with suppress(ValueError, KeyError, OSError):
                made.pop(setting(json.loads(file.read_bytes())["spec"]), None)
    return made


def _empty(result: RunResult) -> Index:
    made = {"source": result.spec["source"], "recipe": result.spec["recipe"]}
    return Index(**made, machine=made_on(result.environment))


def made_on(made: dict) -> str:
    """The processor and the versions that an environment (see `runs.environment`) was made with."""
    return f"{made['processor']}; " + ", ".join(f"{name} {number}" for name, number in made["packages"].items())


def _data(result: RunResult) -> Data:
    return Data(version=result.spec["data"], train=result.data["available"])


def _belongs(result: RunResult, index: Index) -> bool:
    spec, data, here = result.spec, _data(result), made_on(result.environment)
    known = (index.source, index.machine_of(spec["model"], setting(spec)) or here, index.tasks.get(spec["task"], data))
    weights = index.models.get(spec["model"], spec["weights"])
    same = known == (spec["source"], here, data) and weights == spec["weights"]
    return same and spec["recipe"] == index.recipe


def _recorded(folder: Path, run_id: str) -> RunResult | None:
    """A run that is in the records, whole; None if it is not or cannot be read, and is then copied again."""
    if not all((folder / run_id / name).is_file() for name in KEPT):
        return None
    try:
        return RunResult.model_validate_json((folder / run_id / "result.json").read_bytes())
    except (ValidationError, OSError, UnicodeDecodeError):
        return None


def _copy(result: RunResult, folder: Path) -> None:
    """One run's record, whole or not at all, packed for a repository. A run that failed has no predictions."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
        whole = Path(scratch) / "run"
        whole.mkdir()
        if (file := workspace.runs_folder() / result.run_id / "predictions.npz").is_file():
            (whole / file.name).write_bytes(packed := _packed(file.read_bytes()))
            files = result.files | {file.name: hashlib.sha256(packed).hexdigest()}
            result = result.model_copy(update={"files": files})
        (whole / "result.json").write_text(result.model_dump_json(), encoding="utf-8")
        shutil.rmtree(folder / result.run_id, ignore_errors=True)
        os.replace(whole, folder / result.run_id)


def _packed(archive: bytes) -> bytes:
    """The arrays of an `.npz` file under LZMA, which `numpy.load` reads as well: a sixth smaller."""
    smaller = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as arrays, zipfile.ZipFile(smaller, "w", zipfile.ZIP_LZMA) as packed:
        for entry in arrays.infolist():
            packed.writestr(zipfile.ZipInfo(entry.filename), arrays.read(entry), zipfile.ZIP_LZMA)
    return smaller.getvalue()
