"""The files of published records: a line a run, a timing or a probe, and the arrays that runs predicted, each once.

    <model>__<task>.runs.jsonl    a line a run, by run id: its result, and the sha256 of each array that it predicted
    <model>__<task>.arrays.zip    those arrays as .npy files under LZMA, each once, named by their sha256
    timings.jsonl                 a line a timing, by timing id (see `timing`)
    probes.jsonl                  a line a measurement on a model before tuning, by its id (see `probes`)

A file is written whole, arrays before the lines that name them, and holds the same bytes whenever it holds the same
runs. A line is trusted if it is a result, an array if its bytes give its name; all else is reported as `Damaged`.
"""

import hashlib
import io
import json
import lzma
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from beft_lib.runs.result import Damaged, RunResult
from beft_lib.workspace import write_whole

RUNS, ARRAYS, TIMINGS, PROBES = ".runs.jsonl", ".arrays.zip", "timings.jsonl", "probes.jsonl"


class Record(BaseModel):
    """One line: a run's result, and by name (such as "validation/logits") the sha256 of each array it predicted."""

    model_config = ConfigDict(extra="forbid")

    result: RunResult
    predictions: dict[str, str] = {}


def record(folder: Path, run_id: str) -> Record | None:
    """A run's record, None if there is none; `Damaged` if its line is not one, or might be one that cannot be read."""
    for file in folder.glob(f"*{RUNS}"):
        if line := read_lines(file).found.get(run_id):
            return _parsed(line, file)
    check_lines(folder)
    return None


def check_lines(folder: Path) -> None:
    """Raise `Damaged` if a line of a run is none."""
    for file in sorted(folder.glob(f"*{RUNS}")):
        read_lines(file).check()


def results(folder: Path) -> Iterator[RunResult]:
    """Every readable result in the records, in no order; arrays are not checked."""
    for file in folder.glob(f"*{RUNS}"):
        for line in read_lines(file).found.values():
            try:
                yield _parsed(line, file).result
            except Damaged:
                continue


def arrays(folder: Path, record: Record) -> dict[str, bytes]:
    """What a recorded run predicted, by name, as the bytes of .npy files; `Damaged` if that is not what was written."""
    file = folder / f"{_stem(record.result)}{ARRAYS}"
    archive = _opened(file)
    found = {}
    for name, digest in record.predictions.items():
        if (content := archive.read(digest)) is None:
            raise Damaged(f"{name} of run {record.result.run_id} is missing from {file}, or not what was written")
        found[name] = content
    return found


def is_whole(folder: Path, record: Record) -> bool:
    """Whether every array of a recorded run is there, and what was written."""
    archive = _opened(folder / f"{_stem(record.result)}{ARRAYS}")
    return all(digest in archive.trusted or archive.read(digest) is not None for digest in record.predictions.values())


def add(folder: Path, made: Iterable[tuple[RunResult, Mapping[str, bytes]]]) -> None:
    """Put runs and the arrays they predicted (by name, as .npy files) into the records; only their files are written.

    To be called while the folder is locked. Raises `Damaged`, and leaves a file alone, if one of its lines is no run.
    """
    by_stem: dict[str, list[tuple[RunResult, Mapping[str, bytes]]]] = {}
    for result, predicted in made:
        by_stem.setdefault(_stem(result), []).append((result, predicted))
    for stem, own in by_stem.items():
        lines = read_lines(folder / f"{stem}{RUNS}")
        lines.check()
        found, named = dict(lines.found), {}
        for result, predicted in own:
            digests = {name: hashlib.sha256(content).hexdigest() for name, content in predicted.items()}
            named |= {digests[name]: content for name, content in predicted.items()}
            kept = {name: digest for name, digest in result.files.items() if name != "predictions.npz"}
            line = Record(result=result.model_copy(update={"files": kept}), predictions=digests)
            found[result.run_id] = line.model_dump_json().encode()
        if named:
            earlier = _opened(folder / f"{stem}{ARRAYS}")
            named = {digest: content for digest in earlier.names if (content := earlier.read(digest))} | named
            write_whole(folder / f"{stem}{ARRAYS}", _packed(named))
        write_lines(folder / f"{stem}{RUNS}", found)


def _stem(result: RunResult) -> str:
    """The files of a model and a task are called by both; a Hub id's slash and colon become dashes."""
    return "__".join(re.sub(r"[^\w.-]+", "-", result.spec[name]) for name in ("model", "task"))


def _parsed(line: bytes, file: Path) -> Record:
    try:
        return Record.model_validate_json(line)
    except ValidationError as error:
        reason = str(error).splitlines()[0]
        raise Damaged(f"a line of {file} is not a run's record: {reason}; restore the file") from None


# ----------------------------------------------------------------------------------------------------------- lines


class Lines(NamedTuple):
    """The lines of a file by the id of their run, timing or probe; `damage`: where a line is none, if one is."""

    file: Path
    found: Mapping[str, bytes]
    damage: str

    def check(self) -> None:
        """Raise `Damaged` if any line is none."""
        if self.damage:
            raise Damaged(self.damage)


def read_lines(file: Path) -> Lines:
    """The lines of a records file, which has none if it is not there. A file that has not changed is not read again."""
    try:
        stat = file.stat()
    except OSError:
        return Lines(file, {}, "")
    found, damage = _lines(file, (stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return Lines(file, found, damage)


@lru_cache(maxsize=256)
def _lines(file: Path, state: tuple[int, ...]) -> tuple[dict[str, bytes], str]:
    found, damage = {}, ""
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            content = json.loads(line)
            found[content.get("timing_id") or content.get("probe_id") or content["result"]["run_id"]] = line
        except (ValueError, KeyError, TypeError, AttributeError):
            damage = damage or f"line {number} of {file} is not what was written; restore the file"
    return found, damage


def write_lines(file: Path, lines: Mapping[str, bytes]) -> None:
    """Write a records file, its lines in the order of their ids."""
    write_whole(file, b"".join(lines[name] + b"\n" for name in sorted(lines)))


# ---------------------------------------------------------------------------------------------------------- arrays


class _Archive:
    """An archive of arrays. An array that was read once is known to be whole (`trusted`)."""

    def __init__(self, content: bytes):
        self.trusted: set[str] = set()
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            self.names = self._zip.namelist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            self._zip, self.names = None, []

    def read(self, digest: str) -> bytes | None:
        """The array of this sha256; None if it is not there, or not what was written."""
        try:
            content = self._zip.read(digest) if self._zip is not None else b""
        except (KeyError, EOFError, OSError, ValueError, RuntimeError, lzma.LZMAError, zipfile.BadZipFile):
            return None
        if digest not in self.trusted and hashlib.sha256(content).hexdigest() != digest:
            return None
        self.trusted.add(digest)
        return content


def _opened(file: Path) -> _Archive:
    try:
        stat = file.stat()
    except OSError:
        return _Archive(b"")
    return _archive(file, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@lru_cache(maxsize=64)
def _archive(file: Path, state: tuple[int, ...]) -> _Archive:
    return _Archive(file.read_bytes())


def _packed(named: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(named):  # an entry's date is 1980, so that the same arrays are the same bytes
            archive.writestr(zipfile.ZipInfo(name), named[name], zipfile.ZIP_LZMA)
    return packed.getvalue()
