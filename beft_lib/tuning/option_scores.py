"""Scores of options, and generated answers, of a decoder: batched, and never computing the same thing twice.

The score of an option is the mean log-probability of its tokens after the prompt. Four things are saved, none of which
changes a score: 1. logits are computed at the options' positions alone, not at every position; 2. options of one token
share a single row, as they differ only in what is read off it; 3. the keys and values of a prompt are computed once for
all its longer options; 4. those of a fixed set of demonstrations once for all examples. Rows are sorted by length and
padded on the left, so that what is read lies at their right end.

Differs from the authors' loop in the above: it runs one option at a time, with the whole vocabulary at each position.

Shapes: b rows, t tokens of a row, p tokens already in a cache, k positions read, v vocabulary, c options.
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from beft_lib.tuning.loop import autocast
from beft_lib.tuning.prompt_tokens import Choices, Contexts, Option

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS = 2048  # in a forward pass, padding included, unless a single example has more
HELD = 8192  # in a forward pass together with what the rows' caches hold; the limit of generation
SHARED = 16  # tokens that examples must begin with together for a cache of them to pay
NEW_TOKENS = 50  # of a generated answer at most, as the authors'


@dataclass(eq=False)
class Past:
    """What precedes the rows: their cache, and which of its p positions count (b, p), the others being padding."""

    cache: Any  # transformers' cache, or None
    seen: Tensor

    def of(self, rows: Sequence[int]) -> "Past":
        """The past of these rows, repeated as often as they are named; this one is left as it is."""
        index, cache = torch.tensor(list(rows)), copy.copy(self.cache)
        if cache is not None:  # selecting and appending make new tensors: those of this cache stay as they are
            cache.layers = [copy.copy(layer) for layer in cache.layers]
            cache.batch_select_indices(index)
        return Past(cache, self.seen[index])


def beginning(model: nn.Module, rows: int) -> tuple[Any, Past]:
    """The language model behind an adapter, and what precedes every text: the virtual tokens of prefix tuning, or
    nothing."""
    where = next(model.parameters()).device
    if not getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return model, Past(None, torch.ones(rows, 0, dtype=torch.long, device=where))
    adapted: Any = model  # PEFT's
    virtual = adapted.active_peft_config.num_virtual_tokens
    return adapted.get_base_model(), Past(
        adapted.get_prompt(rows), torch.ones(rows, virtual, dtype=torch.long, device=where)
    )


def forward(model: Any, rows: Sequence[Sequence[int]], past: Past, keep: int, store: bool = False):
    """Logits (b, k, v) at the last `keep` tokens of each row, and the `Past` that includes the rows if it is stored."""
    where, longest = past.seen.device, max(map(len, rows))
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    own = np.zeros((len(rows), longest), dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, longest - len(row) :] = row
        own[place, longest - len(row) :] = 1
    seen = torch.cat([past.seen, torch.from_numpy(own).to(where)], dim=1)  # (b, p + t)
    given = {"input_ids": torch.from_numpy(ids).to(where), "past_key_values": past.cache, "use_cache": store}
    if not seen.all():
        given["attention_mask"] = seen
    if past.cache is not None:
        given["use_cache"] = True
    if "position_ids" in inspect.signature(model.forward).parameters:  # BLOOM has none: its bias follows the mask
        given["position_ids"] = (seen.cumsum(1) - 1).clamp(min=0)[:, past.seen.shape[1] :]
    out = model(**given, logits_to_keep=keep)
    return out.logits, Past(out.past_key_values, seen) if store else None


def stored(model: Any, rows: Sequence[Sequence[int]], past: Past) -> Past:
    """The past that includes these rows."""
    _, made = forward(model, rows, past, 1, store=True)
    assert made is not None, "stored, as was asked"
    return made


def read_contiguously(model: nn.Module) -> None:
    """From now on, copy what the vocabulary's matrix is multiplied with into one piece before.

    The last `keep` states of padded rows are a slice, of which torch makes a product a row: the matrix, the largest of
    the model, would be read once for every row. Logits change by rounding.
    """
    vocabulary = cast("PreTrainedModel", model).get_output_embeddings()
    assert vocabulary is not None, "a decoder ends in its vocabulary's matrix"
    vocabulary.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(), *inputs[1:]))


def _inputs(options: Sequence[Sequence[Option]], skip: Sequence[int]):
    """The distinct inputs of some examples' options, each without its first `skip` tokens and its last one; the example
    of each input; and for each option its input and its tokens, to be read at the input's end."""
    rows: dict[tuple[int, tuple[int, ...]], int] = {}
    row_of, targets = [], []
    for place, own in enumerate(options):
        for option in own:
            row_of.append(rows.setdefault((place, option.ids[skip[place] : -1]), len(rows)))
            targets.append(option.ids[option.start :])
    return [row for _, row in rows], [place for place, _ in rows], row_of, targets


def _read(logits: Tensor, row_of: Sequence[int], targets: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """The summed log-probability (c,) of each option's tokens, and their number (c,). logits (b, k, v)"""
    k, where = logits.shape[1], logits.device
    wanted = torch.tensor([[-1] * (k - len(own)) + list(own) for own in targets], device=where)  # (c, k)
    rows = torch.tensor(row_of, device=where)
    logits = logits.float()
    read = logits[rows[:, None], torch.arange(k, device=where), wanted.clamp(min=0)]  # (c, k)
    found = (read - logits.logsumexp(-1)[rows]).masked_fill(wanted < 0, 0)
    return found.sum(1), (wanted >= 0).sum(1)


# ------------------------------------------------------------------------------------------------------- training


def option_loss(model: nn.Module, data: Choices, rows: Sequence[int], whole: Sequence[int]) -> tuple[Tensor, int]:
    """Cross-entropy over the options' scores, for the part `rows` of a batch `whole`; and how many tokens it took.

    −Σ_rows log softmax(scores)[right] / |whole|. Of several right options the first one counts.
    """
    options = [data.options[row] for row in rows]
    found, counts, padded = _training_scores(model, options)
    scores = torch.full((len(rows), max(map(len, options))), -torch.inf, device=found.device)
    places = [(i, j) for i, own in enumerate(options) for j in range(len(own))]
    scores[tuple(torch.tensor(places, device=found.device).T)] = found / counts
    right = torch.tensor([data.right[row][0] for row in rows], device=found.device)
    return nn.functional.cross_entropy(scores, right, reduction="sum") / len(whole), padded


def answer_loss(model: nn.Module, data: Choices, rows: Sequence[int], whole: Sequence[int]) -> tuple[Tensor, int]:
    """Language-modelling loss of the right option's tokens: their mean over a batch `whole`, for its part `rows`."""

    def right(row: int) -> Option:
        return data.options[row][data.right[row][0]]

    tokens = sum(len(right(row).ids) - right(row).start for row in whole)
    found, _, padded = _training_scores(model, [[right(row)] for row in rows])
    return -found.sum() / tokens, padded


def _training_scores(model: nn.Module, options: Sequence[Sequence[Option]]) -> tuple[Tensor, Tensor, int]:
    inputs, _, row_of, targets = _inputs(options, [0] * len(options))
    language_model, past = beginning(model, len(inputs))
    logits, _ = forward(language_model, inputs, past, max(map(len, targets)))
    return *_read(logits, row_of, targets), len(inputs) * max(map(len, inputs))


# -------------------------------------------------------------------------------------------------------- scoring


@torch.inference_mode()
def option_scores(model: nn.Module, data: Choices, precision: str = "fp32", tokens: int = TOKENS) -> list[np.ndarray]:
    """The score of every option, an array (c,) an example, in evaluation mode. `tokens`: in a forward pass at most."""
    model.eval()
    found: list[np.ndarray] = [np.empty(0)] * len(data)
    with autocast(precision, next(model.parameters()).device):
        for members, skip in _alike(data.group, lambda i: _common(data.options[i])):
            language_model, past = _prefix(model, data.options[members[0]][0].ids[:skip])
            for rows in _batches(members, data.lengths, skip, tokens, [len(own) for own in data.options]):
                scores = _scores(language_model, [data.options[i] for i in rows], past, skip, tokens)
                for i, own in zip(rows, scores):
                    found[i] = own
    return found


def _scores(model, options: Sequence[Sequence[Option]], past: Past, skip: int, tokens: int) -> list[np.ndarray]:
    """Scores of a batch after a common past; through a cache of each prompt where that saves tokens."""
    inputs, _, row_of, targets = _inputs(options, [skip] * len(options))
    places = [0] * len(inputs)  # the past of every row
    begins = [len(_common(own)) for own in options]  # where an example's options part
    if len(inputs) > len(options) and min(begins) > skip:
        prompts = [own[0].ids[skip:begin] for own, begin in zip(options, begins)]
        ends, owners, row_of_ends, _ = _inputs(options, begins)
        if _area(prompts) + _area(ends) < 0.8 * _area(inputs):
            past = stored(model, prompts, past.of([0] * len(prompts)))
            inputs, places, row_of = ends, owners, row_of_ends
    longest, keep = max(map(len, inputs)), max(map(len, targets))
    step = max(1, min(tokens // longest, HELD // (past.seen.shape[1] + longest)))
    scores = np.empty(len(row_of), dtype=np.float32)
    for first in range(0, len(inputs), step):
        logits, _ = forward(model, inputs[first : first + step], past.of(places[first : first + step]), keep)
        own = [i for i, row in enumerate(row_of) if first <= row < first + step]
        sums, counts = _read(logits, [row_of[i] - first for i in own], [targets[i] for i in own])
        scores[own] = (sums / counts).cpu().numpy()
    return np.split(scores, np.cumsum([len(own) for own in options])[:-1])


def _area(rows: Sequence[Sequence[int]]) -> int:
    """The tokens that the rows take as one padded batch."""
    return len(rows) * max(map(len, rows))


def _common(options: Sequence[Option]) -> tuple[int, ...]:
    """What the options' inputs begin with together, up to the token before the first option's first one."""
    first, last = (choose(option.ids for option in options) for choose in (min, max))
    return first[: min(_shared(first, last), min(option.start for option in options) - 1)]


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    """With how many tokens both begin."""
    return next((i for i, (a, b) in enumerate(zip(first, second)) if a != b), min(len(first), len(second)))


def _alike(groups: Sequence[int], begins: Callable[[int], tuple[int, ...]]) -> Iterator[tuple[list[int], int]]:
    """Examples by group, and with how many tokens all of a group begin; those that share with nobody are one group."""
    members: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    alone = []
    for own in members.values():
        length = 0
        if len(own) > 1:
            first, last = (choose(begins(i) for i in own) for choose in (min, max))  # the others begin as these two
            length = _shared(first, last)
        if length >= SHARED:
            yield own, length
        else:
            alone += own
    if alone:
        yield alone, 0


def _prefix(model: nn.Module, ids: Sequence[int]) -> tuple[Any, Past]:
    """The language model, and the past of a single row that begins with these tokens."""
    language_model, past = beginning(model, 1)
    return language_model, stored(language_model, [ids], past) if ids else past


def _batches(
    members: Sequence[int], lengths: np.ndarray, skip: int, tokens: int, rows_of: Sequence[int]
) -> Iterator[list[int]]:
    """Examples of about one length, longest first, as many as fit with a row for each of their options.

    Without their first `skip` tokens, which a cache holds, they have at most `tokens`, and with them `HELD`.
    """
    batch: list[int] = []
    rows = longest = 0
    for i in sorted(members, key=lambda i: -lengths[i]):
        longest = longest or lengths[i]
        more = rows + rows_of[i]
        if batch and (more * (longest - skip) > tokens or more * longest > HELD):
            yield batch
            batch, rows, longest = [], 0, lengths[i]
        batch.append(i)
        rows += rows_of[i]
    if batch:
        yield batch


# ------------------------------------------------------------------------------------------------------ generation


@torch.inference_mode()
def answers(model: nn.Module, tokenizer, data: Contexts, precision: str = "fp32", tokens: int = HELD) -> list[str]:
    """What the model writes after each prompt: greedy, at most `NEW_TOKENS` tokens, up to the first line break."""
    from transformers import GenerationConfig

    model.eval()
    stops = _stops(tokenizer)
    settings = GenerationConfig(
        max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=stops, pad_token_id=tokenizer.pad_token_id
    )
    found = [""] * len(data)
    where = next(model.parameters()).device
    with autocast(precision, where):
        for members, skip in _alike(data.group, lambda i: data.ids[i][:-1]):
            language_model, past = _prefix(model, data.ids[members[0]][:skip])
            for rows in _batches(members, data.lengths, skip, tokens, [1] * len(data)):
                own = past.of([0] * len(rows))
                held, longest = own.seen.shape[1], max(data.lengths[rows]) - skip
                # What the cache holds needs places among the ids, which are not looked at.
                ids = np.full((len(rows), held + longest), tokenizer.pad_token_id)
                mask = np.ones_like(ids)
                for place, i in enumerate(rows):
                    begin = held + longest - (len(data.ids[i]) - skip)
                    mask[place, held:begin] = 0
                    ids[place, begin:] = data.ids[i][skip:]
                given = {"past_key_values": own.cache} if own.cache is not None else {}
                out = language_model.generate(
                    torch.from_numpy(ids).to(where),
                    attention_mask=torch.from_numpy(mask).to(where),
                    generation_config=settings,
                    **given,
                )
                texts = tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
                for i, text in zip(rows, texts):
                    found[i] = text.split("\n")[0].strip()
    return found


def _stops(tokenizer) -> list[int]:
    """The tokens after which nothing is wanted: those that hold a line break, and the end of the text."""
    decoded = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    breaks = [token for token, text in enumerate(decoded) if "\n" in text]
    return breaks + [token for token in [tokenizer.eos_token_id] if token is not None and token not in breaks]
