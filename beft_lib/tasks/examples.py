"""Examples in memory, and the one place where rows of any source are checked."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from beft_lib.errors import UserError

from .definition import Task


@dataclass(frozen=True, eq=False)
class Examples:
    """One split of a task, in the order of its source. Shapes: n examples.

    `texts`: n tuples of one or two strings. `labels`: (n,) int64 class ids, or float64 scores of a
    regression; read-only, as a loaded split is shared. `ids`: n distinct strings, the column `idx` or the
    position in the source.
    """

    texts: tuple[tuple[str, ...], ...]
    labels: np.ndarray
    ids: tuple[str, ...]

    def __post_init__(self):
        if not len(self.texts) == len(self.labels) == len(self.ids):
            raise ValueError(f"{len(self.texts)} texts, {len(self.labels)} labels and {len(self.ids)} ids")
        labels = self.labels.view()
        labels.flags.writeable = False
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices) -> "Examples":
        """The examples at `indices`, in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        return Examples(
            tuple(self.texts[i] for i in indices), self.labels[indices], tuple(self.ids[i] for i in indices)
        )

    def digest(self) -> str:
        """sha256 (hex) over ids, texts and labels in order: equal if and only if the examples are."""
        sha = hashlib.sha256()
        for texts, label, name in zip(self.texts, self.labels.tolist(), self.ids, strict=True):
            sha.update(json.dumps([name, texts, label]).encode() + b"\n")
        return sha.hexdigest()


def from_rows(task: Task, rows: Sequence[Mapping], where: Callable[[int], str]) -> Examples:
    """The rows of one split as `Examples`; the first row that is not valid raises `UserError`.

    `where(i)` says where row i stands, for the message: a file and line, or a data set, split and row.
    """
    texts, labels, ids = [], [], {}
    label = _score if task.regression else _class
    columns = task.columns
    for i, row in enumerate(rows):
        try:
            texts.append(_texts(task, row, columns))
            labels.append(label(task, row))
        except _Invalid as error:
            raise UserError(f"{where(i)}: {error}") from None
        name = str(row.get("idx", i))
        if ids.setdefault(name, i) != i:
            raise UserError(
                f"{where(i)}: idx {name} was used before, in {where(ids[name])}; give each row its own "
                "idx, or "
                f"leave the column out to number the rows by position"
            )
    return Examples(tuple(texts), np.array(labels, np.float64 if task.regression else np.int64), tuple(ids))


class _Invalid(Exception):
    """What is wrong with a row, without its place."""


def _texts(task, row, columns) -> tuple[str, ...]:
    blanks = 0
    for column in (*columns, task.label):
        if column not in row:
            raise _Invalid(
                f"no column {column!r}; task {task.name!r} needs the columns {', '.join(columns)} and "
                f"{task.label}, and this row has {', '.join(map(str, row)) or 'none'}"
            )
    for column in columns:
        value = row[column]
        if not isinstance(value, str):
            raise _Invalid(f"column {column!r} is {_short(value)}, which is not a text; give it a text")
        blanks += not value.strip()
        if blanks > task.blank:
            raise _Invalid(f"column {column!r} is blank; give it a text or leave the row out")
    return tuple(template.format_map(row) for template in task.text)


def _class(task, row) -> int:
    value = row[task.label]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < task.num_labels:
        return value
    raise _not_a_label(task, value, ", ".join(f"{i} ({label})" for i, label in enumerate(task.labels)))


def _score(task, row) -> float:
    value = row[task.label]
    low, high = task.range
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        value = round(float(value), 6)  # the Hub stores 3.8 as a float32, 3.7999999523
        if low <= value <= high:
            return value
    raise _not_a_label(task, value, f"a number from {low:g} to {high:g}")


def _not_a_label(task, value, valid) -> _Invalid:
    if value == -1 and not isinstance(value, bool):
        problem = f"the {task.label} is -1, which marks a row without a gold label, as test splits have"
    else:
        problem = f"{task.label} {_short(value)} is not a {task.label} of task {task.name!r}"
    return _Invalid(f"{problem}; valid: {valid}. Correct the row or leave it out")


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
