"""The run store: one folder a run, written once and whole, never trusted unread.

    runs/<run_id>/result.json          the RunResult, with the sha256 of the other files
                  result.sha256        its own; runs of earlier versions lack it
                  delta.safetensors    the change of every tuned bias, fp64: adding it gives the tuned bias to the bit
                  head.safetensors     the head beside them, whole
                  predictions.npz      logits, labels and ids of the evaluated examples
    runs/<timing_id>/timing.json       what methods cost (see `timing`)
    runs/<run_id>.work/                a run in progress: its checkpoint

A run is written to a temporary folder and renamed, so any number of processes may share a store and a kill leaves
either the whole run or none of it. What is half-written, corrupt or foreign is reported by `read` and run again.
A spec that is run again gives the same bits on the same processor with as many threads, elsewhere the same numbers up
to rounding; a result names both (`environment`).

Where published records stand in for the store (see `workspace.Workspace`), results and arrays are read from their files
(see `archive`), and nothing is written.
"""

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from beft_lib import workspace
from beft_lib.errors import UserError
from beft_lib.runs import archive
from beft_lib.runs.result import Damaged, RunResult
from beft_lib.runs.spec import RunSpec

DIGEST = "result.sha256"


def folder(run_id: str) -> Path:
    return workspace.runs_folder() / run_id


def work_folder(run_id: str) -> Path:
    """Where a run in progress keeps its checkpoint."""
    return workspace.runs_folder() / f"{run_id}.work"


def read(spec: RunSpec) -> RunResult | None:
    """The stored result of a spec, None if there is none; `Damaged` if what is there cannot be trusted."""
    result = read_id(spec.run_id)
    if result is not None and result.spec != spec.portable:
        raise Damaged(f"{folder(spec.run_id) / 'result.json'} belongs to another run ({result.run_id})")
    return result


def read_id(run_id: str) -> RunResult | None:
    """The stored result of a run that only its id is known of (see `read`)."""
    path = folder(run_id)
    if workspace.published():
        kept = archive.record(path.parent, run_id)
        if kept is not None and not archive.is_whole(path.parent, kept):
            raise Damaged(f"what run {run_id} predicted is missing from {path.parent}, or not what was written")
        return kept and kept.result
    if not path.exists():
        return None
    try:
        result = RunResult.model_validate_json((path / "result.json").read_bytes())
    except FileNotFoundError:
        raise Damaged(f"{path} has no result.json") from None
    except (ValidationError, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise Damaged(f"{path / 'result.json'} is not a run's result: {reason}") from None
    if result.run_id != run_id:
        raise Damaged(f"{path / 'result.json'} belongs to another run ({result.run_id})")
    digest = path / DIGEST
    if digest.exists() and digest.read_bytes() != _sha256(path / "result.json").encode():
        raise Damaged(f"{path / 'result.json'} is not what was written")
    for name, expected in result.files.items():
        file = path / name
        if not file.is_file() or _sha256(file) != expected:
            raise Damaged(f"{file} is missing or not what was written")
    return result


def check_holds(result: RunResult, files: set[str]) -> None:
    """Raise `Damaged` for a run that others are made from and that an earlier version stored without these files."""
    if result.done and (absent := sorted(files - set(result.files))):
        raise Damaged(f"{folder(result.run_id)} has no {absent[0]}, from which other runs are made")


def tensors(run_id: str, name: str) -> dict[str, Any]:
    """A tensor file of a stored run, "delta" or "head", by name in the names' order (reading gives them in any).

    Raises `UserError` if the run or the file is not there.
    """
    from safetensors.torch import load

    result = read_id(run_id)
    file = f"{name}.safetensors"
    if result is None or file not in result.files:
        what = "is not stored" if result is None else f"was stored without its {name}"
        raise UserError(
            f"run {run_id} {what} in {workspace.runs_folder()}, and another run is made from it; make it first"
        )
    return dict(sorted(load((folder(run_id) / file).read_bytes()).items()))


def arrays(run_id: str) -> dict[str, bytes]:
    """What a stored run predicted, by name (such as "validation/logits"), as the bytes of .npy files; {} if nothing.

    Raises `Damaged` if that is not what was written.
    """
    if workspace.published():
        kept = archive.record(workspace.runs_folder(), run_id)
        return archive.arrays(workspace.runs_folder(), kept) if kept is not None else {}
    file = folder(run_id) / "predictions.npz"
    if not file.is_file():
        return {}
    try:
        with zipfile.ZipFile(file) as packed:
            return {name.removesuffix(".npy"): packed.read(name) for name in packed.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise Damaged(f"{file} is not what was written: {error}") from None


def predictions(run_id: str) -> dict[str, Any]:
    """As `arrays`, read: {"validation/logits": (n, c), "validation/labels": (n,), "validation/ids": (n,)}."""
    return {name: np.load(io.BytesIO(content), allow_pickle=False) for name, content in arrays(run_id).items()}


def recorded() -> Iterator[RunResult]:
    """Every readable result in the store, in no order; their other files are not checked."""
    if workspace.published():
        yield from archive.results(workspace.runs_folder())
        return
    for file in workspace.runs_folder().glob("*/result.json"):
        try:
            yield RunResult.model_validate_json(file.read_bytes())
        except (ValidationError, OSError, UnicodeDecodeError):
            continue


def trusted(spec: RunSpec) -> RunResult | None:
    """The stored result of a spec; None if there is none or it cannot be trusted."""
    try:
        return read(spec)
    except Damaged:
        return None


def discard_work(run_id: str) -> None:
    """Forget a run's checkpoint, so that it starts from nothing."""
    shutil.rmtree(work_folder(run_id), ignore_errors=True)


def write(result: RunResult, files: dict[str, bytes]) -> None:
    """Put a run into the store, whole; an earlier one of the same id is replaced."""
    result = result.model_copy(
        update={"files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}}
    )
    content = result.model_dump_json(indent=1).encode()
    put(result.run_id, files | {"result.json": content, DIGEST: hashlib.sha256(content).hexdigest().encode()})
    discard_work(result.run_id)


def accept(spec: RunSpec, files: dict[str, bytes]) -> RunResult:
    """Put a run that was made elsewhere into the store, from its files, whole; `Damaged` if they are not its own."""
    try:
        result = RunResult.model_validate_json(files["result.json"])
    except (KeyError, ValidationError):
        raise Damaged(f"what came back of run {spec.run_id} has no result") from None
    if result.run_id != spec.run_id or result.spec != spec.portable:
        raise Damaged(f"what came back of run {spec.run_id} is of another run ({result.run_id})")
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    own, said = digests.pop("result.json"), files.get(DIGEST, b"")
    digests.pop(DIGEST, None)
    if digests != result.files or said != own.encode():
        raise Damaged(f"what came back of run {spec.run_id} is not what was written")
    put(spec.run_id, files)
    discard_work(spec.run_id)
    return result


def put(name: str, files: dict[str, bytes]) -> None:
    """Put a folder of files into the store, whole; an earlier one of that name is replaced."""
    workspace.put_whole(folder(name), files)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sweep_leftovers() -> None:
    """Remove what processes that were killed while writing left, an hour or more ago."""
    workspace.sweep_leftovers(workspace.runs_folder())
