"""What an adapter is for: the task that it was tuned on, so that new texts are read as those it learned from."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from beft_lib import tasks
from beft_lib.errors import UserError
from beft_lib.tasks import PromptTask, Task


@dataclass(frozen=True, eq=False, kw_only=True)
class Use:
    """How a text becomes what the model reads.

    `task`: its texts or its prompt, its classes and their words. `columns`: the names of the texts' columns in the data
    it was tuned on, in the task's order, with the names that they have in the task. `max_length`: in tokens; longer
    texts are cut.
    """

    task: Task | PromptTask
    columns: Mapping[str, str]
    max_length: int

    def notes(self) -> dict:
        """As it is kept in a file."""
        task = self.task.model_dump(mode="json")
        return {"task": task, "columns": dict(self.columns), "max_length": self.max_length}


def of_task(task: Task | PromptTask, max_length: int) -> Use | None:
    """The use of a task whose columns are called as in its data; None where each example has options of its own."""
    if isinstance(task, PromptTask) and not task.options:
        return None
    names = task.texts if isinstance(task, PromptTask) else task.columns
    return Use(task=task, columns={name: name for name in names}, max_length=max_length)


def read(notes: Mapping, file: object) -> Use:
    """What `Use.notes` returned; `UserError`, which names the file, for anything else."""
    try:
        form: type[Task] | type[PromptTask] = PromptTask if notes["task"]["kind"] in ("options", "answer") else Task
        task, columns, longest = form.model_validate(notes["task"]), notes["columns"], notes["max_length"]
        given = task.texts if isinstance(task, tasks.PromptTask) else task.columns
        if sorted(columns.values()) != sorted(given) or not isinstance(longest, int) or longest < 1:
            raise ValueError("its columns are not those of its task")
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file} is damaged: its task cannot be read ({reason}); save it again") from None
    return Use(task=task, columns=columns, max_length=longest)
