"""Source `bundled`: the toy tasks that this library generates itself; no file, no network."""

import functools
import importlib

from ..definition import Definition
from ..examples import Examples, Prompts
from ..rows import from_rows


@functools.cache
def load(task: Definition, split: str) -> Examples | Prompts:
    module = importlib.import_module(f"beft_lib.tasks.toys.{(task.folder or task.name).removeprefix('toy-')}")
    return from_rows(task, module.rows(split), lambda i: f"bundled {task.name} {split} row {i}")


def available(task: Definition) -> tuple[str, ...]:
    return task.splits


@functools.cache
def version(task: Definition) -> str:
    """`toy-sentiment v1 0123456789ab`: the definition's version and a digest of all splits."""
    import hashlib

    content = "".join(load(task, split).digest() for split in task.splits)
    return f"{task.name} v{task.version} {hashlib.sha256(content.encode()).hexdigest()[:12]}"
