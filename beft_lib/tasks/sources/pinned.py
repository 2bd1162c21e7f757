"""A data set of the Hugging Face Hub at one revision: from the local cache or the Hub, and no other revision instead.

`datasets` offers the latest copy that its cache has where the Hub cannot be reached, whatever was asked for.
"""

import contextlib
from pathlib import Path

TIMEOUT = 5  # seconds until a Hub that does not answer counts as unreachable


class OtherRevision(Exception):
    """What `datasets` gave is not of the revision that was asked for; the message says so."""


def load(path: str, name: str | None, revision: str):
    """The `datasets.DatasetDict` of a repository and configuration at a revision.

    Raises `OtherRevision`, and whatever the network, the Hub or the cache can raise.
    """
    import datasets

    data = datasets.load_dataset(path, name, revision=revision)
    if not is_pinned(path, revision, data):
        raise OtherRevision(f"the only copy in the local cache is of another revision than {revision}")
    return data


def is_pinned(path: str, revision: str, data) -> bool:
    """Whether `data` is of the revision: the commit is a folder in the path of each file in the cache."""
    from huggingface_hub import try_to_load_from_cache

    card = try_to_load_from_cache(path, "README.md", repo_type="dataset", revision=revision)
    commits = {revision, Path(card).parent.name if isinstance(card, str) else revision}
    files = [Path(file["filename"]) for split in data.values() for file in split.cache_files]
    return all(commits & set(file.parts) for file in files)


def told_offline() -> str:
    """Which variable forbids to ask the Hub, as the beginning of a reason; empty where none does."""
    import datasets
    import huggingface_hub

    offline = datasets.config.HF_HUB_OFFLINE or huggingface_hub.is_offline_mode()
    return "HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set" if offline else ""


def in_words(error: Exception) -> str:
    """`ConnectionError: no route`, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextlib.contextmanager
def offline():
    """`datasets.load_dataset` looks into its cache only."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def quiet():
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
