"""What a claim is: a sentence of the paper, where its evidence is shown, and what decides it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from beft_lib.evidence.claims.finding import Finding, Predicate
from beft_lib.runs.timing import Timing

Encoders = Literal["any", "first", "further"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """`shown`: the figure or table of the notebook that holds the evidence; `needs`: the runs it is judged by."""

    id: str
    section: str
    text: str
    notebook: str
    shown: str
    needs: str
    predicate: Predicate | None = None
    timed: Callable[[Sequence[Timing]], Finding | None] | None = None  # judges timings, in a predicate's place
    encoders: Encoders = "any"  # of a notebook with several: which the claim speaks of
