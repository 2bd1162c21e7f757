"""An adopted task on disk: its definition and its two splits, named by their content."""

import gzip
import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from beft_lib.workspace import put_whole

from ..catalogue import own_folder
from ..definition import Task
from ..prompt_task import PromptTask

LONGEST_NAME = 40
LEVEL = 6  # of gzip: a few per cent larger than 9, in a fraction of the time


def write(stem: str, define: Callable[[str], Task | PromptTask], splits: Mapping[str, Sequence[Mapping]]):
    """Write the task that `define` makes of a name, and its rows; the task. What is there already is used again.

    The name is `stem` as a slug, and the first 8 hex digits of the sha256 over the definition and the rows.
    """
    lines = {split: "".join(json.dumps(row) + "\n" for row in rows).encode() for split, rows in splits.items()}
    decided = define("").model_dump(mode="json")
    sha = hashlib.sha256(json.dumps(decided, sort_keys=True).encode())
    for split, content in lines.items():
        sha.update(f"\n{split} {hashlib.sha256(content).hexdigest()}".encode())
    task = define(f"{slug(stem)}-{sha.hexdigest()[:8]}")
    import yaml

    definition = yaml.safe_dump(task.model_dump(mode="json"), sort_keys=False, allow_unicode=True).encode()
    packed = {f"{split}.jsonl.gz": gzip.compress(content, LEVEL, mtime=0) for split, content in lines.items()}
    folder, files = own_folder() / task.name, {"task.yaml": definition, **packed}
    if not _holds(folder, files):  # a folder that has them is left alone: what was read of it stays in memory
        put_whole(folder, files)
    return task


def slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:LONGEST_NAME].strip("-") or "data"


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except OSError:
        return False
