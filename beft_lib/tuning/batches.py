"""Texts to token ids to batches that are hardly padded: the larger part of training's speed on short texts.

Padding every SST-2 sentence (13 tokens on average) to the paper's maximum of 128 spends nine tenths of the work on
padding. Here a batch holds texts of about one length and is padded to its own longest, which changes no logit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from beft_lib.tasks import Examples

POOL = 64  # batches whose examples are sorted together: longer pools pad less and shuffle less


@dataclass(frozen=True)
class Encoded:
    """Token ids of n examples (unpadded), with labels and how many were cut to `max_length`."""

    ids: tuple[tuple[int, ...], ...]
    types: tuple[tuple[int, ...], ...] | None  # segment ids, where the model has segments
    labels: Tensor  # (n,) int64 classes or float32 scores
    pad_id: int
    truncated: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(ids) for ids in self.ids])


def encode(tokenizer, examples: Examples, max_length: int) -> Encoded:
    """Tokenise, cutting the longer text of a pair first. A text of several columns becomes one sequence."""
    first = [texts[0] for texts in examples.texts]
    second = [texts[1] for texts in examples.texts] if len(examples.texts[0]) > 1 else None
    full = tokenizer(first, second, truncation=False, verbose=False)["input_ids"]
    encoded = tokenizer(first, second, truncation="longest_first", max_length=max_length)
    types = encoded.get("token_type_ids")
    labels = torch.tensor(examples.labels)  # a copy: the examples are shared and read-only
    return Encoded(
        ids=tuple(map(tuple, encoded["input_ids"])),
        types=tuple(map(tuple, types)) if types is not None else None,
        labels=labels.float() if labels.is_floating_point() else labels.long(),
        pad_id=tokenizer.pad_token_id,
        truncated=sum(len(ids) > max_length for ids in full),
    )


def collate(data: Encoded, rows: Sequence[int] | np.ndarray, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The rows as one batch, padded to its longest: input_ids (b, t), labels (b,), and a mask only where needed."""
    longest = max(len(data.ids[row]) for row in rows)
    ids = torch.full((len(rows), longest), data.pad_id)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        length = len(data.ids[row])
        ids[place, :length] = torch.tensor(data.ids[row])
        mask[place, :length] = 1
    batch = {"input_ids": ids, "labels": data.labels[list(rows)]}
    if not mask.all():
        batch["attention_mask"] = mask
    if data.types is not None:
        types = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            types[place, : len(data.types[row])] = torch.tensor(data.types[row])
        batch["token_type_ids"] = types
    return {name: value.to(device) for name, value in batch.items()}


def shuffled(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """One epoch's batches: every example once, lengths alike inside a batch, batches in random order.

    Examples are shuffled, cut into pools of `POOL` batches, sorted by length inside a pool (stable, so equal lengths
    stay shuffled) and cut into batches of `batch_size`; as many steps an epoch as plain shuffling, ⌈n / batch_size⌉.
    """
    order = rng.permutation(len(lengths))
    span = POOL * batch_size
    batches = []
    for start in range(0, len(order), span):
        pool = order[start : start + span]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def by_length(lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Batches for evaluation: all examples sorted by length, longest first, so that memory peaks at once."""
    order = np.argsort(-lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
