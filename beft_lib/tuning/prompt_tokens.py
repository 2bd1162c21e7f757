"""Prompts to token ids: where an option begins, demonstrations before a prompt, and what does not fit.

An example of a prompt task becomes a *choice*: for each of its options the whole sequence (demonstrations, prompt,
option) and the place at which the option begins. The place is found by token offsets: a token that holds any
character of the option belongs to it, also where it begins inside the prompt. (A difference of two lengths, as in the
authors' code, is wrong there.)
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from beft_lib.errors import UserError
from beft_lib.tasks import Prompts


class Option(NamedTuple):
    """One option of an example: the whole sequence, and the index of the option's first token in it, at least 1."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True, eq=False)
class Rendered:
    """What n examples with their demonstrations became. `group`: examples of one group begin with the same
    demonstrations, of which `dropped` did not fit; `truncated`: examples whose prompt was cut, on its left; `digest`:
    sha256 (hex) of the rendered texts."""

    group: tuple[int, ...]
    dropped: tuple[int, ...]
    truncated: int
    digest: str

    def __len__(self) -> int:
        return len(self.group)


@dataclass(frozen=True, eq=False)
class Choices(Rendered):
    """The options of each example, and the indices of the right ones."""

    options: tuple[tuple[Option, ...], ...]
    right: tuple[tuple[int, ...], ...]

    @property
    def lengths(self) -> np.ndarray:
        """(n,) tokens of an example's longest sequence."""
        return np.array([max(len(option.ids) for option in own) for own in self.options])


@dataclass(frozen=True, eq=False)
class Contexts(Rendered):
    """The tokens of each prompt without what follows it: text is generated after them."""

    ids: tuple[tuple[int, ...], ...]

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(ids) for ids in self.ids])


class Demonstrations(NamedTuple):
    """Solved examples to put before prompts.

    `fixed`: the same ones before each, so that what the model computes for them is shared; else `shots` of the pool
    are drawn anew for each example, by `seed` and its place among the examples (the authors' way).
    """

    pool: Prompts
    shots: int
    separator: str
    fixed: bool
    seed: int

    def of(self, place: int) -> list[str]:
        """The demonstrations before the example at this place."""
        if self.fixed:
            return [self.pool.demonstration(i) for i in range(self.shots)]
        rng = np.random.default_rng([self.seed, 6, place])
        return [self.pool.demonstration(i) for i in rng.permutation(len(self.pool))[: self.shots]]


def choices(tokenizer, prompts: Prompts, longest: int, demonstrations: Demonstrations | None = None) -> Choices:
    """Every option of every example as one sequence of at most `longest` tokens.

    Demonstrations that would not fit are dropped whole, the first ones first; a prompt that does not fit even alone
    loses tokens on its left, as many for each option. Raises `UserError` for an option of no token, or one that alone
    is longer than `longest`.
    """
    befores, dropped = _before(tokenizer, prompts, longest, demonstrations)
    flat = [(i, option) for i, own in enumerate(prompts.options) for option in own]
    texts = [befores[i] + prompts.prompts[i] + option for i, option in flat]
    sequences: list[list[Option]] = [[] for _ in prompts.prompts]
    for (i, option), (ids, spans) in zip(flat, _tokenised(tokenizer, texts)):
        boundary = len(befores[i]) + len(prompts.prompts[i])
        start = next((place for place, (_, end) in enumerate(spans) if end > boundary), len(ids))
        if start == len(ids) or start == 0:
            what = "has no token of its own" if start else "follows a prompt of no token"
            raise UserError(
                f"example {prompts.ids[i]}: option {option!r} {what} under this model's tokenizer; give every option "
                "a text, and every prompt one before it"
            )
        sequences[i].append(Option(ids, start))
    lead, truncated, made = len(_leading(tokenizer)), 0, []
    for i, own in enumerate(sequences):
        excess = max(len(option.ids) for option in own) - longest
        truncated += excess > 0
        made.append(
            tuple(_cut(option, excess, lead, prompts.ids[i], longest) if excess > 0 else option for option in own)
        )
    return Choices(_groups(demonstrations, dropped), dropped, truncated, _digest(texts), tuple(made), prompts.right)


def contexts(tokenizer, prompts: Prompts, longest: int, demonstrations: Demonstrations | None = None) -> Contexts:
    """Every prompt alone, at most `longest` tokens of it: demonstrations and cuts as in `choices`."""
    befores, dropped = _before(tokenizer, prompts, longest, demonstrations, options=False)
    texts = [before + prompt for before, prompt in zip(befores, prompts.prompts)]
    lead, truncated, made = len(_leading(tokenizer)), 0, []
    for ids, _ in _tokenised(tokenizer, texts):
        truncated += len(ids) > longest
        made.append(ids if len(ids) <= longest else ids[:lead] + ids[len(ids) - longest + lead :])
    return Contexts(_groups(demonstrations, dropped), dropped, truncated, _digest(texts), tuple(made))


def _before(tokenizer, prompts: Prompts, longest: int, demonstrations: Demonstrations | None, options: bool = True):
    """What stands before each prompt, and how many demonstrations were dropped there."""
    if demonstrations is None:
        return [""] * len(prompts), (0,) * len(prompts)
    befores, dropped, costs = [], [], {}

    def cost(text: str) -> int:
        if text not in costs:
            costs[text] = len(tokenizer(text + demonstrations.separator, add_special_tokens=False)["input_ids"])
        return costs[text]

    for place, prompt in enumerate(prompts.prompts):
        solved = demonstrations.of(place)
        ends = [prompt + option for option in prompts.options[place]] if options else [prompt]
        own = max(len(ids) for ids in tokenizer(ends)["input_ids"])
        room = longest - own
        kept, used = 0, 0
        while (
            kept < len(solved) and used + cost(solved[-kept - 1]) <= room
        ):  # about: joined text may tokenise otherwise
            used += cost(solved[-kept - 1])
            kept += 1
        while True:
            before = "".join(text + demonstrations.separator for text in solved[len(solved) - kept :])
            if not kept or max(len(ids) for ids in tokenizer([before + end for end in ends])["input_ids"]) <= longest:
                break
            kept -= 1
        befores.append(before)
        dropped.append(len(solved) - kept)
    return befores, tuple(dropped)


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _groups(demonstrations: Demonstrations | None, dropped: Sequence[int]) -> tuple[int, ...]:
    """Which examples begin alike: with a fixed set those that lack as many of it, else each is on its own."""
    return tuple(dropped) if demonstrations is not None and demonstrations.fixed else tuple(range(len(dropped)))


def _cut(option: Option, excess: int, lead: int, name: str, longest: int) -> Option:
    """The option without `excess` tokens of its prompt, which go on the left, after what every text begins with."""
    start = option.start - excess
    if start <= lead:
        raise UserError(
            f"example {name}: an option of {len(option.ids) - option.start} tokens leaves no room for a prompt in "
            f"{longest}; raise max_length or leave the example out"
        )
    return Option(option.ids[:lead] + option.ids[lead + excess :], start)


def _tokenised(tokenizer, texts: Sequence[str]) -> list[tuple[tuple[int, ...], list[tuple[int, int]]]]:
    """Token ids and character spans of each text, with what the tokenizer puts before a text and not what after it."""
    encoded = tokenizer(list(texts), return_offsets_mapping=True)
    made = []
    for ids, spans in zip(encoded["input_ids"], encoded["offset_mapping"]):
        end = len(ids)
        while end and spans[end - 1][1] == 0:  # a special token has no characters
            end -= 1
        made.append((tuple(ids[:end]), spans[:end]))
    return made


def _leading(tokenizer) -> list[int]:
    """What the tokenizer puts before every text: a beginning-of-sequence token, or nothing."""
    ((ids, spans),) = _tokenised(tokenizer, ["a"])
    return [token for token, (_, end) in zip(ids, spans) if end == 0]
