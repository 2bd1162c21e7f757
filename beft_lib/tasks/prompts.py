"""Rendered examples of a prompt task, in memory."""

import functools
import hashlib
import json
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Prompts:
    """One split of a prompt task, in the order of its source. Shapes: n examples.

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
