"""The tasks that there are: one file each in `definitions/`, and those made of data of one's own (`own.adopt`)."""

import functools
import re
from pathlib import Path

from beft_lib import workspace
from beft_lib.errors import UserError, unknown

from .definition import Task
from .prompt_task import PromptTask

_FOLDER = Path(__file__).parent / "definitions"
_OWN = re.compile("[a-z0-9-]+-[0-9a-f]{8}")  # the name of a task made of data of one's own


def names() -> list[str]:
    """The names of all packaged tasks, sorted."""
    return list(_names())


def path_of(name: str) -> Path:
    """The file that defines a packaged task."""
    return _FOLDER / f"{name}.yaml"


def own_folder() -> Path:
    """Where tasks made of data of one's own are kept: `own/` of the run store."""
    return workspace.runs_folder().absolute() / "own"


def get(name: str) -> Task | PromptTask:
    """The task called `name`, a packaged one or one made of data of one's own; `UserError` if there is none."""
    if name in _names():
        return _packaged(name)
    if _OWN.fullmatch(str(name)):
        path = own_folder() / name / "task.yaml"
        if path.is_file():
            stat = path.stat()
            return _own(path, stat.st_mtime_ns, stat.st_size)
        hint = f"A task of your own is kept in {path.parent.parent}; make it again with tasks.adopt"
        raise unknown("task", name, names(), hint)
    raise unknown("task", name, names())


def of_encoder(name: str) -> Task:
    """As `get`, where only a task of an encoder with a head will do; `UserError` for one that a decoder answers."""
    task = get(name)
    if isinstance(task, PromptTask):
        raise unknown("task of an encoder with a head", name, [n for n in names() if not get(n).prompts])
    return task


def title(name: str) -> str:
    """How readers are told of a task, e.g. SST-2 for `sst2`."""
    return get(name).title


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


@functools.cache
def _packaged(name: str) -> Task | PromptTask:
    task = _read(path_of(name))
    assert task.name == name, f"{name}.yaml defines {task.name!r}"
    return task


@functools.lru_cache(maxsize=32)
def _own(path: Path, mtime: int, size: int) -> Task | PromptTask:
    """As the file is now: a file that was changed is read again."""
    import pydantic
    import yaml

    try:
        task = _read(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, pydantic.ValidationError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not the definition of a task ({reason}); make it again with tasks.adopt") from None
    if task.name != path.parent.name:
        raise UserError(f"{path} defines the task {task.name!r}; make it again with tasks.adopt")
    return task


def _read(path: Path) -> Task | PromptTask:
    import yaml

    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    form = PromptTask if content["kind"] in ("options", "answer") else Task
    return form.model_validate(content)
