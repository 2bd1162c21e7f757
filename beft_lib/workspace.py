"""Where this process keeps its runs and leaves its figures, and how much of the machine it may use.

A notebook opened by hand finds the defaults; `run_all.sh` sets the same things for the notebooks it executes through
the environment, so that a notebook's parameters hold only what decides its numbers.
"""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

from beft_lib.errors import UserError


def checkout() -> Path | None:
    """The root of the source checkout that this package is imported from, None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "run_all.sh").is_file() else None


def runs_folder() -> Path:
    """The run store: $BEFT_RUNS, else `runs/` of the checkout, else `runs/` here."""
    return Path(os.environ.get("BEFT_RUNS") or (checkout() or Path.cwd()) / "runs")


def report_folder() -> Path | None:
    """Where figures and tables are written as files besides being shown: $BEFT_OUT, set by the driver."""
    return Path(os.environ["BEFT_OUT"]) if os.environ.get("BEFT_OUT") else None


def variant() -> str:
    """What this execution of a notebook with a matrix adds to its files' names: $BEFT_VARIANT, such as "__opt-1.3b"."""
    return os.environ.get("BEFT_VARIANT", "")


def progress_file() -> Path | None:
    """Where progress lines go instead of the notebook's output: $BEFT_PROGRESS, set by the driver."""
    return Path(os.environ["BEFT_PROGRESS"]) if os.environ.get("BEFT_PROGRESS") else None


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
    return int(os.environ.get("BEFT_WORKERS") or min(len(gpus()), cores()) or cores())


def check_workers(count: int, name: str = "workers") -> None:
    """Raise `UserError` for fewer than one, or more than the cores: oversubscribed cores are many times slower."""
    if not 1 <= count <= cores():
        raise UserError(f"{name} {count!r}; valid: 1 to {cores()}, this machine's cores")


def published() -> bool:
    """Whether the store is a report's published records: results are read, and nothing is ever trained."""
    return os.environ.get("BEFT_PUBLISHED") == "1"


def fresh_since() -> float:
    """Runs recorded before this time are made again ($BEFT_FRESH, seconds since the epoch; 0: none are)."""
    return float(os.environ.get("BEFT_FRESH") or 0)
