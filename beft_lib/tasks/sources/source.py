"""Where examples come from: `hub`, `bundled` or `local:DIR`. One source never stands in for another."""

from pathlib import Path
from typing import NamedTuple, overload

from beft_lib.errors import UserError, unknown

from .. import catalogue
from ..definition import Task
from ..examples import Examples, Prompts
from ..prompt_task import PromptTask
from . import bundled, hub, local

FORMS = ("hub", "bundled", "local:DIR")


class Source(NamedTuple):
    """A data source as its text names it; `folder` is None but for `local:DIR`."""

    kind: str
    folder: Path | None = None


def parse_source(text: str) -> Source:
    """`hub`, `bundled` or `local:DIR`; whether DIR exists is checked when it is read."""
    if text in ("hub", "bundled"):
        return Source(text)
    kind, colon, folder = str(text).partition(":")
    if kind == "local":
        if not folder.strip():
            raise UserError(f"data source {text!r} names no folder; write local:DIR, with a folder a task")
        return Source("local", Path(folder).expanduser())
    raise unknown("data source", text, FORMS)


@overload
def load(task: Task, split: str, source: str) -> Examples: ...
@overload
def load(task: PromptTask, split: str, source: str) -> Prompts: ...
@overload
def load(task: str, split: str, source: str) -> Examples | Prompts: ...
def load(task: Task | PromptTask | str, split: str, source: str) -> Examples | Prompts:
    """The examples of one split, every row checked; kept in memory, so that loading again is free.

    Raises `UserError` if the task is not available from the source, the split does not exist, or a row is
    invalid.
    """
    task, module, where = _resolve(task, source)
    if split not in task.splits:
        raise unknown(f"split of task {task.name!r}", split, task.splits)
    return module.load(task, split, *where)


def sizes(task: Task | PromptTask | str, source: str) -> dict[str, int]:
    """The number of examples in each split, after reading and checking every row of all of them.

    A split that the definition calls optional and the source does not have is left out.
    """
    task, module, where = _resolve(task, source)
    return {split: len(module.load(task, split, *where)) for split in module.available(task, *where)}


def version(task: Task | PromptTask | str, source: str) -> str:
    """The identity of the task's data at the source, which is part of a run's identity.

    hub `nyu-mll/glue@<revision>/sst2`, bundled `toy-sentiment v1 <digest>`, local `sha256:<digest>` over
    the splits' names and uncompressed contents, wherever the folder is. For a prompt task the definition's
    identity follows, `copa v1 <digest>`, as another wording makes other runs.
    """
    task, module, where = _resolve(task, source)
    data = module.version(task, *where)
    return f"{data} {task.identity}" if isinstance(task, PromptTask) else data


def _resolve(task: Task | PromptTask | str, source: str):
    task = catalogue.get(task) if isinstance(task, str) else task
    kind, folder = parse_source(source)
    valid = ["bundled"] if task.bundled else ["hub", "local:DIR"] if task.hub else ["local:DIR"]
    if kind not in [form.partition(":")[0] for form in valid]:
        toys = ", ".join(name for name in catalogue.names() if catalogue.get(name).bundled)
        raise UserError(
            f"task {task.name!r} is not available from data source {source!r}; valid: {', '.join(valid)}. "
            + (f"The bundled tasks are {toys}. " if kind == "bundled" else "")
            + "Name another source with --data, or another task"
        )
    module = {"hub": hub, "bundled": bundled, "local": local}[kind]
    return task, module, (folder,) if folder else ()
