"""What a sweep asks of an engine, and what it hears of the runs that it started."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from beft_lib.runs import RunResult, RunSpec


@dataclass(frozen=True)
class Finished:
    """A run ended, well or not, and is in the store."""

    spec: RunSpec
    result: RunResult


@dataclass(frozen=True)
class Lost:
    """A run did not end: what carried it out died, hung, was full or could not be used. `where`: on which machine."""

    spec: RunSpec
    reason: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" if self.where else self.reason


@dataclass(frozen=True)
class Waited:
    """Nothing ended for a while; these runs go on."""

    specs: tuple[RunSpec, ...]


class Engine(Protocol):
    """Carries out runs. The sweep decides what is run, how often a lost run is tried, and what the user is told."""

    attempts: int  # how often a run is tried that is lost

    @property
    def width(self) -> int:
        """How many runs go on at a time, as far as is known: what a time is estimated by."""
        ...

    def start(self, specs: Sequence[RunSpec], lost: Sequence[Lost] = ()) -> None:
        """Take runs on, in this order. `lost`: how these runs were lost before, to be tried elsewhere if possible."""
        ...

    def ended(self) -> Generator[Finished | Lost | Waited, None, None]:
        """What becomes of the runs that were started, as it happens, until there is none left.

        Runs may be started meanwhile. What goes on is stopped if the iteration is left early.
        """
        ...

    def state(self) -> str:
        """What a progress line says of the machines; empty where there is nothing to say."""
        ...
