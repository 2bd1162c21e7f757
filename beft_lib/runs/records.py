"""Published records: the runs behind a report, small enough to be committed beside it.

records/index.json          where their data came from, and the identities of data and weights (`index`)
records/<run_id>/           result.json and predictions.npz of each run; the tuned biases stay in the run store
"""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from beft_lib import workspace
from beft_lib.runs.index import INDEX, Data, Index, read_index
from beft_lib.runs.store import RunResult

KEPT = ("result.json", "predictions.npz")


class Kept(NamedTuple):
    """What `keep` did: runs added, and by how much runs that were there already differ, in points of their metric."""

    added: int
    differences: tuple[float, ...]
    refused: str = ""  # why nothing was added


def keep(results: Iterable[RunResult], folder: Path) -> Kept:
    """Copy stored runs into a records folder that lacks them, and bring its index up to date.

    What is there is never replaced, and nothing is added to records of other data: published runs are compared with,
    not mixed with those of another machine.
    """
    results = list(results)
    if not results:
        return Kept(0, ())
    index = Index(source=results[0].spec["source"])
    if (folder / INDEX).is_file():
        index = read_index(folder).model_copy(deep=True)
    added, differences = 0, []
    for result in results:
        spec, record = result.spec, folder / result.run_id
        data = Data(version=spec["data"], train=result.data["available"])
        known = (index.source, index.tasks.get(spec["task"], data), index.models.get(spec["model"], spec["weights"]))
        if known != (spec["source"], data, spec["weights"]):
            return Kept(0, (), f"the records in {folder} were made from other data ({index.source}) and are left alone")
        if (record / "result.json").is_file():
            theirs = RunResult.model_validate_json((record / "result.json").read_bytes())
            pairs = zip(result.metrics, theirs.metrics)
            differences += [100 * abs(ours.value - published.value) for ours, published in pairs]
            continue
        index.tasks[spec["task"]], index.models[spec["model"]] = data, spec["weights"]
        record.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            if (file := workspace.runs_folder() / result.run_id / name).is_file():
                shutil.copyfile(file, record / name)
        added += 1
    if added:
        partial = folder / f".{INDEX}.partial"
        partial.write_text(index.model_dump_json(indent=1) + "\n", encoding="utf-8")
        partial.replace(folder / INDEX)
    return Kept(added, tuple(differences))
