"""How far a run is that goes on: a line in its work folder, for whoever waits for it."""

import time
from contextlib import suppress
from typing import NamedTuple

from beft_lib.runs import store

FILE = "steps"
SECONDS = 2.0  # between two lines


class Going(NamedTuple):
    """Steps of training that are done, and in all; seconds since the first of them in this process ended."""

    steps: int
    total: int
    seconds: float


class Steps:
    """Notes the steps of a run. Where it cannot be written, nothing is noted, and the run goes on."""

    def __init__(self, run_id: str, total: int):
        self._file, self._total = store.work_folder(run_id) / FILE, total
        self._began, self._noted = 0.0, 0.0
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *_: object) -> None:
        """However the training ended, nothing of this is left; a checkpoint beside it stays."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
            self._file.parent.rmdir()

    def __call__(self, step: int) -> None:
        now = time.monotonic()
        self._began = self._began or now
        if now - self._noted < SECONDS:
            return
        self._noted = now
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(f"{step} {self._total} {now - self._began:.3f}\n", encoding="utf-8")


def read(run_id: str) -> Going | None:
    """What a run noted last; None if it did not train yet, is not of this machine's store, or ended."""
    try:
        steps, total, seconds = (store.work_folder(run_id) / FILE).read_text(encoding="utf-8").split()
        return Going(int(steps), int(total), float(seconds))
    except (OSError, ValueError):
        return None
