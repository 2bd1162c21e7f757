"""Examples in memory: `Examples` of a task of an encoder, `Prompts` of a task that a decoder answers."""

import functools
import hashlib
import json
from dataclasses import dataclass

import numpy as np


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


@dataclass(frozen=True, eq=False)
class Prompts:
    """One split of a prompt task, rendered, in the order of its source. Shapes: n examples.

    `prompts`: n texts. `options`: for each the texts that may follow it, with what separates them from it
    (`" great"`); of a task with answers the one text to train on. `right`: the indices of the right options,
    `(0,)` of an answer; the first one is trained on and shown. `answers`: the reference texts, none where
    there are options. `ids`: n distinct strings, the task's id column or the position in the source.
    `classes`: the number of options where all examples have the same ones, else 0.
    """

    prompts: tuple[str, ...]
    options: tuple[tuple[str, ...], ...]
    right: tuple[tuple[int, ...], ...]
    answers: tuple[tuple[str, ...], ...]
    ids: tuple[str, ...]
    classes: int = 0

    def __post_init__(self):
        counts = [len(part) for part in (self.prompts, self.options, self.right, self.answers, self.ids)]
        if len(set(counts)) != 1:
            raise ValueError("{} prompts, {} options, {} right, {} answers and {} ids".format(*counts))

    def __len__(self) -> int:
        return len(self.prompts)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """(n,) int64 class ids, read-only; float64 zeros where there are no classes, and so no strata."""
        firsts = np.array([right[0] for right in self.right], np.int64)
        labels = firsts if self.classes else np.zeros(len(self))
        labels.flags.writeable = False
        return labels

    def take(self, indices) -> "Prompts":
        """The examples at `indices`, in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        parts = (self.prompts, self.options, self.right, self.answers, self.ids)
        return Prompts(*(tuple(part[i] for i in indices) for part in parts), classes=self.classes)

    def demonstration(self, i: int) -> str:
        """Example i solved: its prompt and its first right option, without blanks around them."""
        return (self.prompts[i] + self.options[i][self.right[i][0]]).strip()

    def digest(self) -> str:
        """sha256 (hex) over ids, texts and right options in order: equal if and only if the examples are."""
        sha = hashlib.sha256()
        for example in zip(self.ids, self.prompts, self.options, self.right, self.answers, strict=True):
            sha.update(json.dumps(example).encode() + b"\n")
        return sha.hexdigest()
