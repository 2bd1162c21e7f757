"""Examples of a task of an encoder, in memory."""

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
