"""The tasks that there are: one file each in `definitions/`."""

import functools
from pathlib import Path

from beft_lib.errors import unknown

from .definition import Task
from .prompt import PromptTask

_FOLDER = Path(__file__).parent / "definitions"


def names() -> list[str]:
    """The names of all tasks, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@functools.cache
def get(name: str) -> Task | PromptTask:
    """The task called `name`; `UserError` with the valid names if there is none."""
    if name not in names():
        raise unknown("task", name, names())
    import yaml

    path = _FOLDER / f"{name}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    form = PromptTask if content["kind"] in ("options", "answer") else Task
    task = form.model_validate(content)
    assert task.name == name, f"{path} defines {task.name!r}"
    return task
