"""Source `hub`: data sets of the Hugging Face Hub, at the revision that the task's definition pins.

A pinned revision never changes, so a copy in the local cache of `datasets` is used without asking the
network; and no copy of any *other* revision is, although `datasets` offers the latest one it finds when the
Hub cannot be reached.
"""

import contextlib
import functools
from pathlib import Path

from beft_lib.errors import UserError

from ..definition import Definition, Hub
from ..examples import Examples, Prompts
from ..rows import from_rows

TIMEOUT = 5  # seconds until a Hub that does not answer counts as unreachable


@functools.lru_cache(maxsize=32)
def load(task: Definition, split: str) -> Examples | Prompts:
    from datasets import ClassLabel

    data = _open(task.hub, task.name)
    here = f"{task.hub.path} {task.hub.name} {split}"
    if split not in data:
        raise UserError(
            f"{here}: no such split at revision {task.hub.revision}; there is {', '.join(data)}. "
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


def available(task: Definition) -> tuple[str, ...]:
    """The splits there are, without the optional ones that the data set does not have."""
    data = _open(task.hub, task.name)
    optional = {validation.split for validation in task.validation if validation.optional}
    return tuple(split for split in task.splits if split not in optional or split in data)


def version(task: Definition) -> str:
    """`nyu-mll/glue@<revision>/sst2`"""
    return f"{task.hub.path}@{task.hub.revision}/{task.hub.name}"


@functools.lru_cache(maxsize=32)
def _open(hub: Hub, task_name: str):
    import datasets

    def read():
        return datasets.load_dataset(hub.path, hub.name, revision=hub.revision)

    with _quiet():
        with _offline(), contextlib.suppress(Exception):  # no copy, or a broken one: the Hub is asked for it
            data = read()
            if _is_pinned(hub, data):
                return data
        _check_reachable(hub, task_name)
        try:
            data = read()
        except Exception as error:  # whatever the network, the Hub or the cache can raise
            damaged = f" (if a copy in {datasets.config.HF_DATASETS_CACHE} is damaged, delete it)"
            raise _unreachable(hub, task_name, f"{type(error).__name__}: {error}{damaged}") from error
        if not _is_pinned(hub, data):
            raise _unreachable(hub, task_name, "the only copy in the local cache is of another revision")
        return data


def _is_pinned(hub: Hub, data) -> bool:
    """Whether `data` is of the pinned revision: the commit is a folder in the path of each file in the
    cache."""
    from huggingface_hub import try_to_load_from_cache

    card = try_to_load_from_cache(hub.path, "README.md", repo_type="dataset", revision=hub.revision)
    commits = {hub.revision, Path(card).parent.name if isinstance(card, str) else hub.revision}
    files = [Path(file["filename"]) for split in data.values() for file in split.cache_files]
    return all(commits & set(file.parts) for file in files)


def _check_reachable(hub: Hub, task_name: str) -> None:
    # By itself the Hub's client tries again for half a minute where nothing listens, and for minutes where
    # nothing answers.
    import datasets
    import huggingface_hub

    if datasets.config.HF_HUB_OFFLINE or huggingface_hub.is_offline_mode():
        reason = "HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set, and no copy is cached"
        raise _unreachable(hub, task_name, reason)
    try:
        status = huggingface_hub.get_session().head(datasets.config.HF_ENDPOINT, timeout=TIMEOUT).status_code
    except Exception as error:  # of a different HTTP library in each version of huggingface_hub
        raise _unreachable(hub, task_name, f"{type(error).__name__}: {error}") from error
    if status >= 500:
        raise _unreachable(hub, task_name, f"HTTP status {status}")


def _unreachable(hub: Hub, task_name: str, reason: str) -> UserError:
    import datasets

    return UserError(
        f"data set {hub.path} ({hub.name}, revision {hub.revision}) of task {task_name!r} could not be read "
        f"from {datasets.config.HF_ENDPOINT}: {' '.join(reason.split())}. Connect to the Hub and try "
        "again, read "
        f"the task from a folder with --data local:DIR, or run a toy task with --data bundled"
    )


@contextlib.contextmanager
def _offline():
    """`datasets.load_dataset` looks into its cache only."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _quiet():
    """No progress bars and no warnings of `datasets`: what matters is in the error."""
    import datasets

    level, bars = datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled()
    datasets.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if not bars:
            datasets.enable_progress_bars()
