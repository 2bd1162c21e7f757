"""What a page is made of, as whoever asks for one hands it over (see `render.render`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

STATUSES = ("done", "failed", "not run", "to come")
ABSENT = ("not run", "to come")


@dataclass(frozen=True)
class Chapter:
    """One notebook of the report, or one cell of a notebook's matrix (`01_bias_selection__bert_low`).

    `note`: what its reader must know first, such as that its data are toys.
    """

    name: str
    path: Path | None  # the executed copy; may end early when the run failed
    status: str  # one of `STATUSES`
    error: str | None = None  # a short reason
    seconds: float | None = None
    note: str = ""

    def __post_init__(self):
        if self.status not in STATUSES:
            raise ValueError(f"chapter {self.name!r}: status {self.status!r} is not one of {', '.join(STATUSES)}")

    @property
    def notebook(self) -> str:
        return self.name.partition("__")[0]


@dataclass(frozen=True)
class Paper:
    """The paper that the report is a companion to."""

    title: str
    authors: tuple[str, ...]
    venue: str
    address: str


@dataclass(frozen=True)
class Claim:
    """One row of the ledger; `id` is its place in the page.

    `chapter`: the execution that shows its evidence; `exhibits`: which of its figures and tables, the first first
    (`fig-NAME`, `tab-NAME`); `rows`: the settings it rests on, as a table calls them.
    """

    id: str
    text: str
    section: str
    model: str
    verdict: str
    paper: str
    ours: str
    why: str
    chapter: str
    notes: Mapping[str, str] = field(default_factory=dict)  # what it unfolds to, in order
    exhibits: tuple[str, ...] = ()
    rows: tuple[tuple[str, str], ...] = ()  # title of the task, regime


@dataclass(frozen=True)
class Answer:
    """One sentence that answers a question: the `id` of the claim it reports ("" for none), the word it opens with."""

    claim: str
    verdict: str
    word: str
    text: str
    chapter: str = ""


@dataclass(frozen=True)
class Question:
    """A question of the first screen: its answers, its verdicts counted, and its claims for the ledger."""

    title: str
    answers: tuple[Answer, ...]
    counts: Mapping[str, int]
    gathered: str  # the undecided of them, in a sentence
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Drawing:
    """A figure that is in no notebook: an address that holds it, its texts, and its numbers as CSV."""

    source: str
    caption: str
    alt: str
    data: str
