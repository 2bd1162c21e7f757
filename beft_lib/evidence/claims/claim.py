"""What a claim is: a sentence of the paper, where its evidence is shown, and what decides it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from beft_lib.evidence.claims.finding import Finding, Predicate
from beft_lib.runs.timing import Timing

Encoders = Literal["any", "first", "further"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One row of the ledger for each model that it is judged on.

    `section`: where the paper says it. `question`: the one it helps to answer. `paper`: the paper's own numbers for it.
    `shown`: the figure or table of the notebook that holds the evidence. `needs`: the runs it is judged by. One of
    `predicate` (of runs), `timed` (of timings) and `printed` (of the paper's own numbers or of public configurations,
    without any run) decides it; `rule` says how, in words.
    """

    id: str
    section: str
    question: str
    text: str
    notebook: str
    shown: str
    needs: str
    paper: str = ""
    predicate: Predicate | None = None
    timed: Callable[[Sequence[Timing]], Finding | None] | None = None
    printed: Callable[[], Finding] | None = None
    printed_model: str = ""  # whose numbers a printed claim is about
    decided_by: str = ""  # the rule, where it is not the predicate's
    encoders: Encoders = "any"  # of a notebook with several: which the claim speaks of
    only_of: str | None = None  # a model: the claim is about this one's own ranking, and no other can contradict it

    @property
    def rule(self) -> str:
        """What decides the claim, in words."""
        return self.decided_by or (self.predicate.rule if self.predicate else "")
