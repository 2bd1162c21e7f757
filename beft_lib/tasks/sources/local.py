"""Source `local:DIR`: files `DIR/<task>/<split>.jsonl.gz` (or `.jsonl`), one JSON object a line, in UTF-8."""

import functools
import gzip
import hashlib
import json
import zlib
from pathlib import Path

from beft_lib.errors import UserError

from ..definition import Task
from ..examples import Examples, Prompts
from ..prompt_task import PromptTask
from ..rows import from_rows

SUFFIXES = (".jsonl.gz", ".jsonl")


def load(task: Task | PromptTask, split: str, root: Path) -> Examples | Prompts:
    path = _find(task, split, root)
    if path is None:
        folder = _folder(task, root)
        have = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise UserError(
            f"task {task.name!r} needs {folder / split}{SUFFIXES[0]} (or {SUFFIXES[1]}), which does not "
            f"exist; {folder} has {have}. Add the file or name another data source"
        )
    return _load(task, split, *_state(path))


def available(task: Task | PromptTask, root: Path) -> tuple[str, ...]:
    """The splits there are, without the optional ones whose file is missing."""
    optional = {validation.split for validation in task.validation if validation.optional}
    return tuple(split for split in task.splits if split not in optional or _find(task, split, root))


def version(task: Task | PromptTask, root: Path) -> str:
    """`sha256:...` over the names and uncompressed contents of the task's splits."""
    content = []
    for split in available(task, root):
        load(task, split, root)  # a missing or invalid file is an error here already
        path = _find(task, split, root)
        assert path is not None, f"{split} was read"
        content.append(f"{split} {_digest(*_state(path))}\n")
    return "sha256:" + hashlib.sha256("".join(content).encode()).hexdigest()


def _folder(task: Task | PromptTask, root: Path) -> Path:
    here = f"(from local:{root})"
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"data folder {root} {here} {what}; name one that holds a folder for each task")
    folder = root / (task.folder or task.name)
    if not folder.is_dir():
        have = ", ".join(sorted(p.name for p in root.iterdir() if p.is_dir())) or "none"
        raise UserError(
            f"task {task.name!r} needs the folder {folder} {here}, which does not exist; the folders "
            "there are: "
            f"{have}. Add it with {task.train}{SUFFIXES[0]} and {task.validation[0].split}{SUFFIXES[0]}, "
            "or name "
            f"another data source"
        )
    return folder


def _find(task: Task | PromptTask, split: str, root: Path) -> Path | None:
    folder = _folder(task, root)
    found = [path for path in (folder / (split + suffix) for suffix in SUFFIXES) if path.exists()]
    if len(found) > 1:
        raise UserError(f"{folder} has both {found[0].name} and {found[1].name}; remove one of them")
    return found[0] if found else None


def _state(path: Path) -> tuple[Path, int, int]:
    """What the caches go by: a file that was changed is read again."""
    stat = path.stat()
    return path.resolve(), stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=32)
def _load(task: Task | PromptTask, split: str, path: Path, mtime: int, size: int) -> Examples | Prompts:
    content = read_bytes(path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} line {line}: byte {content[error.start]:#04x} is not UTF-8; save the file as UTF-8"
        ) from error
    rows, lines = [], []
    for number, line in enumerate(text.split("\n"), start=1):  # str.splitlines would also split inside a text
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path} line {number}: not valid JSON ({error.msg} at column {error.colno}); each line "
                "holds "
                f"one JSON object"
            ) from error
        if not isinstance(row, dict):
            raise UserError(f"{path} line {number}: a JSON {type(row).__name__}; a line is one JSON object")
        rows.append(row)
        lines.append(number)
    if not rows:
        raise UserError(f"{path} has no rows; it must hold one JSON object a line")
    return from_rows(task, rows, lambda i: f"{path} line {lines[i]}")


@functools.lru_cache(maxsize=256)
def _digest(path: Path, mtime: int, size: int) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()


def read_bytes(path: Path) -> bytes:
    """A file's content, unpacked if it ends in .gz; `UserError` where it is damaged or cannot be read."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is not a complete gzip file ({error}); copy it again") from error
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} cannot be read ({reason}); check that it is a readable file") from error
