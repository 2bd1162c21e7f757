"""Where the runs of a cluster leave word of themselves, and their checkpoints, while they go on."""

import time
from typing import Any


class Mailbox:
    """An actor of the cluster: where each run is, when it last did something, and its last checkpoint. It ends with the
    driver."""

    def __init__(self) -> None:
        self._where: dict[str, tuple[str, str]] = {}
        self._life: dict[str, tuple[float, float]] = {}  # run → processor seconds, and when they last grew
        self._checkpoints: dict[str, bytes] = {}

    def began(self, run: str, node: str, host: str) -> None:
        self._where[run] = node, host
        self._life[run] = 0.0, time.monotonic()

    def beat(self, run: str, cpu_seconds: float) -> None:
        if run in self._life and cpu_seconds > self._life[run][0] + 0.5:
            self._life[run] = cpu_seconds, time.monotonic()

    def keep(self, run: str, checkpoint: bytes) -> None:
        self._checkpoints[run] = checkpoint

    def checkpoint(self, run: str) -> bytes | None:
        return self._checkpoints.get(run)

    def where(self, run: str) -> tuple[str, str]:
        return self._where.get(run, ("", ""))

    def silent(self, seconds: float) -> list[str]:
        """The runs that began and have done nothing for so long."""
        return [run for run, (_, since) in self._life.items() if time.monotonic() - since > seconds]

    def forget(self, run: str, ended: bool) -> None:
        self._life.pop(run, None)
        if ended:
            self._where.pop(run, None)
            self._checkpoints.pop(run, None)


class Post:
    """What a run tells of itself, to the mailbox."""

    def __init__(self, mailbox: Any, run: str):
        self._mailbox, self._run = mailbox, run

    def beat(self, cpu_seconds: float) -> None:
        self._mailbox.beat.remote(self._run, cpu_seconds)

    def checkpoint(self, content: bytes) -> None:
        self._mailbox.keep.remote(self._run, content)
