"""Source `hub`: data sets of the Hugging Face Hub, at the revision that the task's definition pins.

A pinned revision never changes, so a copy in the local cache of `datasets` is used without asking the network; and no
copy of any *other* revision is (see `pinned`).
"""

import contextlib
import functools

from beft_lib.errors import UserError

from ..definition import Hub, Task
from ..examples import Examples, Prompts
from ..prompt_task import PromptTask
from ..rows import from_rows
from . import pinned


@functools.lru_cache(maxsize=32)
def load(task: Task | PromptTask, split: str) -> Examples | Prompts:
    from datasets import ClassLabel

    hub = _hub(task)
    data = open_pinned(hub, task.name)
    here = f"{hub.path} {hub.name} {split}"
    if split not in data:
        raise UserError(
            f"{here}: no such split at revision {hub.revision}; there is {', '.join(data)}. "
            f"Correct the splits or the hub data set in the task's definition"
        )
    data = data[split]
    feature = data.features.get(task.label)
    if isinstance(feature, ClassLabel) and tuple(feature.names) != task.labels:
        raise UserError(
            f"{here}: the ids of {task.label!r} stand for {', '.join(feature.names)}, but task {task.name!r} "
            f"defines {', '.join(task.labels) or 'a score'}; correct the definition's labels or its hub "
            "data set"
        )
    if not len(data):
        raise UserError(f"{here} has no rows; check the definition's hub data set")
    return from_rows(task, data.to_list(), lambda i: f"{here} row {i}")


def available(task: Task | PromptTask) -> tuple[str, ...]:
    """The splits there are, without the optional ones that the data set does not have."""
    data = open_pinned(_hub(task), task.name)
    optional = {validation.split for validation in task.validation if validation.optional}
    return tuple(split for split in task.splits if split not in optional or split in data)


def version(task: Task | PromptTask) -> str:
    """`nyu-mll/glue@<revision>/sst2`"""
    hub = _hub(task)
    return f"{hub.path}@{hub.revision}/{hub.name}"


def _hub(task: Task | PromptTask) -> Hub:
    assert task.hub is not None, f"{task.name} is not on the Hub, and `source` asks here for nothing that is not"
    return task.hub


@functools.lru_cache(maxsize=32)
def open_pinned(hub: Hub, task_name: str):
    """All splits of the data set, from the local cache, else from the Hub; `UserError` where neither has it."""
    import datasets

    with pinned.quiet():
        with pinned.offline(), contextlib.suppress(Exception):  # no copy, a broken one or another: the Hub is asked
            return pinned.load(hub.path, hub.name, hub.revision)
        check_reachable(hub, task_name)
        try:
            return pinned.load(hub.path, hub.name, hub.revision)
        except pinned.OtherRevision as error:
            raise _unreachable(hub, task_name, str(error)) from None
        except Exception as error:  # whatever the network, the Hub or the cache can raise
            damaged = f" (if a copy in {datasets.config.HF_DATASETS_CACHE} is damaged, delete it)"
            raise _unreachable(hub, task_name, pinned.in_words(error) + damaged) from error


def check_reachable(hub: Hub, task_name: str) -> None:
    """Raise `UserError` where the Hub does not answer at once.

    By itself the Hub's client tries again for half a minute where nothing listens, and for minutes where nothing
    answers.
    """
    import datasets
    import huggingface_hub

    if told := pinned.told_offline():
        raise _unreachable(hub, task_name, f"{told}, and no copy is cached")
    try:
        status = huggingface_hub.get_session().head(datasets.config.HF_ENDPOINT, timeout=pinned.TIMEOUT).status_code
    except Exception as error:  # of a different HTTP library in each version of huggingface_hub
        raise _unreachable(hub, task_name, pinned.in_words(error)) from error
    if status >= 500:
        raise _unreachable(hub, task_name, f"HTTP status {status}")


def _unreachable(hub: Hub, task_name: str, reason: str) -> UserError:
    import datasets

    return UserError(
        f"data set {hub.path} ({hub.name}, revision {hub.revision}) of task {task_name!r} could not be read "
        f"from {datasets.config.HF_ENDPOINT}: {reason}. Connect to the Hub and try again, read the task from a folder "
        "with --data local:DIR, or run a toy task with --data bundled"
    )
