"""What a task is: a small declarative file, read strictly.

One YAML file in `definitions/` is one task. It says which columns are the texts and the label, which labels
and metrics there are, where on the Hugging Face Hub the data is, and the settings of the paper's
experiments. Nothing in it is code, so that a user's own task is one more `Task(...)`, or for a decoder one
more `prompt_task.PromptTask(...)`.
"""

import string
from typing import Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from beft_lib.errors import UserError, unknown

REGIMES = ("low", "medium", "high", "all")


class _Strict(BaseModel, frozen=True, extra="forbid"):
    """Read strictly, and never changed."""


class Hub(_Strict, frozen=True):
    """A data set on the Hugging Face Hub, at one revision: `datasets.load_dataset(path, name,
    revision=revision)`."""

    path: str
    name: str
    revision: str = Field(pattern="^[0-9a-f]{40}$")
    train: int | None  # examples in its train split, so that regime "all" is known without a download; None: unknown


class Validation(_Strict, frozen=True):
    """One validation split. An `optional` one may be missing at the source; it is then shown as not
    available."""

    split: str
    title: str
    optional: bool = False


class Epochs(_Strict, frozen=True):
    """Training epochs in the paper: `base` for BERT-base, `large` for BERT-large and RoBERTa (None: not run
    there)."""

    base: int
    large: int | None = None


class Counts(_Strict, frozen=True):
    """Training examples in the paper's data regimes (None: the paper has no such regime for the task)."""

    low: int
    medium: int | None = None
    high: int | None = None


def fields(template: str) -> list[tuple[str, str]]:
    """The (column, filter) pairs in braces: `"{premise:clause} so"` has `[("premise", "clause")]`."""
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{template!r} is not a template: {error}") from None
    found = [(column, spec, conversion) for _, column, spec, conversion in parsed if column is not None]
    if not found or not all(column.isidentifier() and not conversion for column, _, conversion in found):
        raise ValueError(f"{template!r} is not a template of column names, like '{{sentence}}'")
    return [(column, spec or "") for column, spec, _ in found]


class Definition(_Strict, frozen=True):
    """What every task has: its names, data, metrics and the settings of the paper's experiments.

    `metrics` holds names known to `beft_lib.tasks.metrics`, the one the paper's tables report first. A task with
    `hub` can be read from the Hub or from a local folder, a `bundled` one only from this library.
    """

    name: str
    version: int
    title: str
    id: str = "idx"  # the column that tells rows apart; a row without it is named by its position
    metrics: tuple[str, ...] = Field(min_length=1)
    train: str = "train"
    validation: tuple[Validation, ...] = Field(min_length=1)
    hub: Hub | None = None
    folder: str = ""  # below a local:DIR, or the toy that makes the rows; empty: the task's name
    bundled: bool = False
    max_length: int = 128
    length: int = 40  # tokens of an example on average, from which a run's time is estimated,
    evaluated: int = 1000  # as from the number of validation examples
    learning_rate: float
    epochs: Epochs
    n: Counts

    @model_validator(mode="after")
    def _one_origin(self):
        if self.bundled and self.hub:
            raise ValueError("a bundled task has no hub")
        return self

    @property
    def splits(self) -> tuple[str, ...]:
        return (self.train, *(validation.split for validation in self.validation))

    @property
    def metric(self) -> str:
        """The primary metric, the one the paper's tables report."""
        return self.metrics[0]

    def n_train(self, regime: str, available: int) -> int:
        """The number of training examples of a data regime, with `available` examples in the train split.

        `all` is every example. Raises `UserError` for a regime that the task does not have, or that needs
        more examples than there are: a smaller sample must not pass for the paper's regime.
        """
        if regime == "all":
            return available
        regimes = {name: count for name, count in self.n if count is not None}
        if regime not in regimes:
            raise unknown(f"data regime of task {self.name!r}", regime, [*regimes, "all"])
        if regimes[regime] > available:
            raise UserError(
                f"regime {regime!r} of task {self.name!r} needs {regimes[regime]} training examples and the "
                f"source has {available}; use a smaller regime, 'all', or a source with more examples"
            )
        return regimes[regime]


class Task(Definition, frozen=True):
    """One task of an encoder with a head.

    `text` holds one template (a single sentence) or two (a pair), with the names of columns in braces:
    `"{sentence}"`. `labels` names the classes in the order of their ids; a regression has a `range`
    instead.
    """

    kind: Literal["classification", "regression"]
    text: tuple[str, ...] = Field(min_length=1, max_length=2)
    label: str = "label"
    labels: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    blank: bool = False  # whether one text of a pair may be blank

    @field_validator("text")
    @classmethod
    def _templates(cls, text):
        for template in text:
            fields(template)
        return text

    @model_validator(mode="after")
    def _consistent(self):
        if (self.kind == "regression") != (self.range is not None and not self.labels):
            raise ValueError("a regression has a range and no labels, a classification labels and no range")
        if self.kind == "classification" and (len(self.labels) < 2 or self.range is not None):
            raise ValueError("a classification has at least two labels and no range")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that `text` is made of, in order of first use."""
        return tuple(dict.fromkeys(column for template in self.text for column, _ in fields(template)))

    @property
    def prompts(self) -> bool:
        """Whether a decoder answers it, as a `PromptTask`; False: an encoder's head does."""
        return False

    @property
    def pair(self) -> bool:
        return len(self.text) == 2

    @property
    def regression(self) -> bool:
        return self.kind == "regression"

    @property
    def num_labels(self) -> int:
        """Outputs of the head: the number of classes, 1 for a regression."""
        return len(self.labels) or 1
