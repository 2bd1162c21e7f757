"""A model of the Hugging Face Hub: its safetensors, or the Hub's own conversion of its weights to that format."""

import os
import shutil
import sys
from pathlib import Path

from beft_lib.errors import UserError

from .sources import Hub

# What is read of a Hub repository, whose sub-folders hold other formats. `*` stands for `/` too.
HUB_FILES = {"allow_patterns": ["*.json", "*.safetensors", "vocab.txt", "merges.txt"], "ignore_patterns": ["*/*"]}

# The Hub's bot that proposes safetensors to repositories without them, as pull requests.
CONVERTER = "SFconvertbot"


def snapshot(name: str, source: Hub, models: Path) -> Path:
    """The folder of the model, downloaded first if need be; a conversion is kept in the folder `models`.

    Raises `UserError` when it cannot be had.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    what = {"revision": source.revision, **HUB_FILES}
    try:
        folder = Path(snapshot_download(source.id, local_files_only=True, **what))
    except LocalEntryNotFoundError:  # not here yet, or only in part
        folder = None
    try:
        if folder is None:
            snapshot_download(source.id, **what)
            config = hf_hub_download(source.id, "config.json", revision=source.revision)
            folder = Path(config).parent  # a mirror may keep the files under a commit of its own
        return folder if list(folder.glob("*.safetensors")) else _converted(name, source, folder, models)
    except UserError:
        raise
    except Exception as error:  # httpx, HTTP status and file system errors alike end here: one message for the user
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"model {name!r} ({source.id} at {source.revision}) could not be had from the Hugging Face Hub: "
            f"{reason}\nCheck the network (and HF_ENDPOINT, HF_HUB_OFFLINE), give a model folder, or use a "
            "profile whose model comes from the package index (quick, minilm)"
        ) from None


def _converted(name: str, source: Hub, folder: Path, models: Path) -> Path:
    """What `folder` holds of a revision without safetensors, together with the Hub's own conversion of its weights."""
    from huggingface_hub import snapshot_download

    target = models / f"{source.id.replace('/', '--')}-{folder.name[:12]}"
    if (target / "config.json").is_file():
        return target
    if (conversion := _conversion(source)) is None:
        raise UserError(
            f"model {name!r}: {source.id} at {source.revision} has no *.safetensors file, and the Hub's converter "
            f"({CONVERTER}) has proposed none for these weights; other formats (*.bin) can run code when they are read "
            f"and are refused. Name a revision that has them ('hub:{source.id}@refs/pr/N' for pull request N), or "
            "convert the model with save_pretrained and give its folder"
        )
    reference, commit = conversion
    print(
        f"{source.id} at {source.revision} has no safetensors; its weights are read from the Hub's conversion of them, "
        f"{reference} (commit {commit})",
        file=sys.stderr,
    )
    part = target.with_name(f".{target.name}")  # kept when interrupted: the next attempt goes on from there
    weights = ["*.safetensors", "*.safetensors.index.json"]
    snapshot_download(source.id, revision=commit, local_dir=part, allow_patterns=weights, ignore_patterns=["*/*"])
    for file in folder.iterdir():
        shutil.copy(file, part)
    shutil.rmtree(part / ".cache", ignore_errors=True)  # the client's own notes
    _put(part, target)
    return target


def _conversion(source: Hub) -> tuple[str, str] | None:
    """The reference and commit of the pull request that adds safetensors to the very weights of `source`, if any.

    Only one of the Hub's own converter counts, and only where its *.bin files are those of the revision.
    """
    from huggingface_hub import HfApi

    api = HfApi()

    def files(revision: str) -> tuple[str, dict[str, str]]:
        about = api.model_info(source.id, revision=revision, files_metadata=True)
        return str(about.sha), {file.rfilename: str(file.blob_id) for file in about.siblings or ()}

    def weights(found: dict[str, str]) -> dict[str, str]:
        return {file: blob for file, blob in found.items() if file.endswith(".bin")}

    _, own = files(source.revision)
    for proposal in api.get_repo_discussions(source.id, author=CONVERTER, discussion_type="pull_request"):
        reference = proposal.git_reference
        if reference and proposal.status in ("open", "merged"):
            commit, found = files(reference)
            converted = any(file.endswith(".safetensors") for file in found)
            if converted and weights(found) and weights(found) == weights(own):
                return reference, commit
    return None


def _put(made: Path, target: Path) -> None:
    """Move a finished folder to its place, unless another process was first."""
    try:
        os.rename(made, target)
    except OSError:
        if not (target / "config.json").is_file():
            raise
