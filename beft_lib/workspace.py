"""Where runs are kept and figures left, how much of the machine may be used; and writing whole or not at all.

A notebook opened by hand finds the defaults. `run_all.sh` works in a `Workspace` of its own (`using`), and tells it to
the notebooks it executes, which are other processes, through the environment; so a notebook's parameters hold only what
decides its numbers.
"""

import fcntl
import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from beft_lib.errors import UserError


@dataclass(frozen=True)
class Workspace:
    """What this process, or a part of it, was told. What is left out is not set, and has the default of its reader."""

    runs: Path  # the run store, or the published records that stand in for it
    published: bool = False  # results are read, and nothing is ever trained
    out: Path | None = None
    variant: str = ""
    progress: Path | None = None
    workers: int | None = None
    fresh: float = 0.0
    started: float = 0.0
    engine: str = "local"
    address: str | None = None

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> "Workspace":
        """What these environment variables say; `UserError` for a number that is none. An empty one is not set."""
        return cls(
            runs=Path(variables.get("BEFT_RUNS") or _usual_runs(variables)),
            published=variables.get("BEFT_PUBLISHED") == "1",
            out=Path(variables["BEFT_OUT"]) if variables.get("BEFT_OUT") else None,
            variant=variables.get("BEFT_VARIANT", ""),
            progress=Path(variables["BEFT_PROGRESS"]) if variables.get("BEFT_PROGRESS") else None,
            workers=_number(variables, "BEFT_WORKERS", int),
            fresh=_number(variables, "BEFT_FRESH", float) or 0.0,
            started=_number(variables, "BEFT_STARTED", float) or 0.0,
            engine=variables.get("BEFT_ENGINE") or "local",
            address=variables.get("BEFT_ADDRESS") or None,
        )

    def environment(self) -> dict[str, str]:
        """The variables that tell another process the same, whatever its own environment says."""
        return {
            "BEFT_RUNS": str(self.runs),
            "BEFT_PUBLISHED": "1" if self.published else "",
            "BEFT_OUT": str(self.out or ""),
            "BEFT_VARIANT": self.variant,
            "BEFT_PROGRESS": str(self.progress or ""),
            "BEFT_WORKERS": str(self.workers or ""),
            "BEFT_FRESH": str(self.fresh or ""),
            "BEFT_STARTED": str(self.started or ""),
            "BEFT_ENGINE": self.engine,
            "BEFT_ADDRESS": self.address or "",
        }


def _usual_runs(variables: Mapping[str, str]) -> Path:
    """`runs/` of the checkout for who works in it; for anybody else the user's cache, wherever this is called from."""
    root = checkout()
    if root is not None and (Path.cwd() == root or root in Path.cwd().parents):
        return root / "runs"
    return cache_folder(variables) / "runs"


def cache_folder(variables: Mapping[str, str] = os.environ) -> Path:
    """Where fetched models are kept, and the runs of who works outside of a checkout: $BEFT_CACHE, else the user's
    cache folder."""
    base = variables.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(variables.get("BEFT_CACHE") or Path(base) / "beft").expanduser()


def _number(variables: Mapping[str, str], name: str, kind: type):
    if not (given := variables.get(name)):
        return None
    try:
        return kind(given)
    except ValueError:
        raise UserError(f"the environment variable {name} is {given!r}; give a number, or unset it") from None


_told: ContextVar[Workspace | None] = ContextVar("workspace", default=None)


def current() -> Workspace:
    """The workspace of the innermost `using`; outside of any, what the environment says."""
    return _told.get() or Workspace.from_environment(os.environ)


@contextmanager
def using(told: Workspace) -> Iterator[Workspace]:
    """Work in another workspace inside the block; the one before is restored, and the environment is left alone.

    Threads and processes that are started inside do not learn of it by themselves: see `environment`.
    """
    token = _told.set(told)
    try:
        yield told
    finally:
        _told.reset(token)


def environment() -> dict[str, str]:
    """The environment that lets another process work where this one does: its own, with the `current` workspace."""
    return dict(os.environ) | current().environment()


def checkout() -> Path | None:
    """The root of the source checkout that this package is imported from, None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "run_all.sh").is_file() else None


def runs_folder() -> Path:
    """The run store: $BEFT_RUNS, else `runs/` of the checkout we work in, else `runs/` of the user's cache."""
    return current().runs


def report_folder() -> Path | None:
    """Where figures and tables are written as files besides being shown: $BEFT_OUT, set by the driver."""
    return current().out


def variant() -> str:
    """What this execution of a notebook with a matrix adds to its files' names: $BEFT_VARIANT, such as "__opt-1.3b"."""
    return current().variant


def progress_file() -> Path | None:
    """Where progress lines go instead of the notebook's output: $BEFT_PROGRESS, set by the driver."""
    return current().progress


def reporter() -> Callable[[str], None]:
    """Where progress lines go: to the file that the driver follows, else to the output."""
    if (path := progress_file()) is None:
        return lambda line: print(line.strip(), flush=True)

    def append(line: str) -> None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    return append


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """The CUDA devices this process may use, by the names that $CUDA_VISIBLE_DEVICES takes; asked without torch."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = [part.strip() for part in visible.split(",")]
        return [name for name in itertools.takewhile(lambda name: name != "-1", names) if name]  # as CUDA reads it
    cards = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number in range(len(list(cards.iterdir())))] if cards.is_dir() else []


def shares(workers: int) -> list[list[str]]:
    """The devices of each worker: with fewer workers than devices some have several, over which a model is spread; with
    more workers some share one."""
    devices = gpus()
    return [devices[i::workers] or devices[i % len(devices) :][:1] if devices else [] for i in range(workers)]


def workers() -> int:
    """Worker processes of a sweep: $BEFT_WORKERS, else one a GPU; without any, one a core (single-threaded side by side
    is the fastest use)."""
    return current().workers or min(len(gpus()), cores()) or cores()


def check_workers(count: int, name: str = "workers") -> None:
    """Raise `UserError` for fewer than one, or more than the cores: oversubscribed cores are many times slower."""
    if not 1 <= count <= cores():
        raise UserError(f"{name} {count!r}; valid: 1 to {cores()}, this machine's cores")


def published() -> bool:
    """Whether the store is a report's published records: results are read, and nothing is ever trained."""
    return current().published


def fresh_since() -> float:
    """Runs recorded before this time are made again ($BEFT_FRESH, seconds since the epoch; 0: none are)."""
    return current().fresh


_STARTED = time.time()  # of this process


def started() -> float:
    """Runs that were lost before this time are tried again: $BEFT_STARTED of the command, else of this process."""
    return current().started or _STARTED


# ------------------------------------------------------------------------------------- writing whole or not at all


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write a file to inside the block, which takes the place of `path` when the block ends well.

    Readers see the file of before or the new one, on disk in full, never half of one. Makes the folder it lies in.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file, text as UTF-8, whole or not at all (see `whole`)."""
    with whole(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def put_whole(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put a folder of files in place, whole or not at all; an earlier one of that name is replaced.

    Any number of processes may put the same folder. Raises `OSError` if its place cannot be had.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        for name, content in files.items():
            write_whole(made / name, content)
        for _ in range(10):  # another process may put the same folder there between the two steps
            if folder.exists():
                os.replace(folder, Path(scratch) / f"replaced-{time.monotonic_ns()}")
            try:
                os.rename(made, folder)
                break
            except OSError:
                continue
        else:
            raise OSError(f"{folder} could not be replaced; is another program writing there?")


def sweep_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while writing into a folder left an hour or more ago."""
    for path in [*folder.glob(".*-*")] if folder.is_dir() else []:
        with suppress(OSError):  # another process may be faster
            if time.time() - path.stat().st_mtime > 3600:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes that lock the folder waiting while the block runs; the lock ends with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
