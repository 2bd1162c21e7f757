"""Source `bundled`: the toy tasks that this library generates itself; no file, no network."""

import functools
import importlib

from ..definition import Task
from ..examples import Examples, Prompts
from ..prompt_task import PromptTask
from ..rows import from_rows


@functools.cache
def load(task: Task | PromptTask, split: str) -> Examples | Prompts:
    module = importlib.import_module(f"beft_lib.tasks.toys.{(task.folder or task.name).removeprefix('toy-')}")
    return from_rows(task, module.rows(split), lambda i: f"bundled {task.name} {split} row {i}")


def available(task: Task | PromptTask) -> tuple[str, ...]:
    return task.splits


@functools.cache
def version(task: Task | PromptTask) -> str:
    """`toy-sentiment v1 0123456789ab`: the definition's version and a digest of all splits."""
    import hashlib

    content = "".join(load(task, split).digest() for split in task.splits)
    return f"{task.name} v{task.version} {hashlib.sha256(content.encode()).hexdigest()[:12]}"
