"""Measurements on a model as it comes, before any tuning: stored like runs, and published beside them.

A probe is named by the hash of what is measured, with which arguments, on which weights. It is stored once, and found
in the published records where they stand in for the store: a report is rebuilt without any weights.
"""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from beft_lib import models, workspace
from beft_lib.runs import archive, machine, published

FOLDER = "probes"  # in the run store; a file a probe
VERSION = 1  # raise it when something is measured in another way

Row = dict[str, Any]


def measured(what: str, model: str, arguments: Mapping[str, Any], measure: Callable[[], list[Row]]) -> list[Row]:
    """The rows that `measure` returns, stored, or else measured now.

    `what` and `arguments` (as JSON has them) say what is measured. Where published records stand in for the store and
    lack it, it is measured, which is said, and not stored.
    """
    probe_id = _id(what, model, arguments)
    if (rows := _stored(probe_id)) is not None:
        return rows
    if workspace.published():
        workspace.reporter()(f"  {what} of {model} is not among the published records, and is measured")
        return measure()
    rows = measure()
    probe = {"probe_id": probe_id, "what": what, "model": model, "arguments": dict(arguments), "rows": rows}
    probe |= {"environment": machine.describe(), "recorded": time.time()}
    # What JSON gives back is what is handed out, now as later.
    content = json.dumps(probe)
    file = workspace.runs_folder() / FOLDER / f"{probe_id}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    workspace.write_whole(file, content + "\n")
    return json.loads(content)["rows"]


def keep(of: Collection[str], folder: Path) -> int:
    """Copy the stored probes of these models into a records folder that lacks them; how many were added."""
    stored = (_parsed(file.read_bytes()) for file in sorted((workspace.runs_folder() / FOLDER).glob("*.json")))
    mine = {probe["probe_id"]: probe for probe in stored if probe is not None and probe["model"] in of}
    if not mine or not folder.is_dir():
        return 0
    with workspace.locked(folder):
        lines = archive.read_lines(folder / archive.PROBES)
        new = {name: json.dumps(probe).encode() for name, probe in mine.items() if name not in lines.found}
        if lines.damage or not new:
            return 0
        archive.write_lines(lines.file, {**lines.found, **new})
    return len(new)


def _id(what: str, model: str, arguments: Mapping[str, Any]) -> str:
    index = published.published()
    weights = index.weights(model) if index and model in index.models else models.version(model)
    named = {"version": VERSION, "probe": what, "model": model, "weights": weights, "arguments": dict(arguments)}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]


def _stored(probe_id: str) -> list[Row] | None:
    """The rows of a stored probe; None if there is none that can be read, or it is to be measured anew."""
    if workspace.published():
        probe = _parsed(archive.read_lines(workspace.runs_folder() / archive.PROBES).found.get(probe_id, b""))
    else:
        file = workspace.runs_folder() / FOLDER / f"{probe_id}.json"
        probe = _parsed(file.read_bytes()) if file.is_file() else None
        if probe is not None and probe["recorded"] < workspace.fresh_since():
            return None
    return probe["rows"] if probe is not None and probe["probe_id"] == probe_id else None


def _parsed(content: bytes) -> dict[str, Any] | None:
    """The probe that this is; None if it is none."""
    try:
        probe = json.loads(content)
        whole = isinstance(probe["rows"], list) and isinstance(probe["model"], str) and probe["recorded"] >= 0
        return probe if whole and "probe_id" in probe else None
    except (ValueError, KeyError, TypeError):
        return None
