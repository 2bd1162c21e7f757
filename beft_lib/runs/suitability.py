"""Whether a model can do a task, found out before anything is trained: what loads, what fits, what is cut."""

import sys
from collections.abc import Sequence
from typing import Any

from beft_lib import biases, models, tasks
from beft_lib.errors import UserError
from beft_lib.models import checking, limits
from beft_lib.tasks import Examples
from beft_lib.tuning import batches, prompt_tokens

MOSTLY_UNKNOWN, OFTEN_UNKNOWN = 0.5, 0.1  # shares of unknown tokens: refused from, said from


def read_length(
    model: str, task: tasks.Task | tasks.PromptTask, source: str, asked: int | None
) -> tuple[int, list[str]]:
    """How many tokens of a text the model reads of this task, and in sentences what is worth knowing of its texts.

    `asked`: the max_length that was asked for, if any. Raises `UserError` for a model that does not load whole, of an
    unknown architecture, with a tokenizer that is not its own; for more tokens than it reads; and for texts that its
    tokenizer does not know.
    """
    outputs = None if isinstance(task, tasks.PromptTask) else task.num_labels
    tokenizer, outline = models.tokenizer(model), models.outline(model, outputs)
    biases.attention_biases(outline)
    checking.check_vocabulary(tokenizer, limits.embedded(outline), f"model {model!r}")
    most = min(tokenizer.model_max_length, _places(outline))
    if asked is not None and asked > most:
        raise UserError(f"max_length {asked} is more than the {most} tokens that {model} reads; give fewer")
    length, said = min(task.max_length, most), []
    for split, name in ((task.train, "training"), (task.validation[0].split, "evaluation")):
        examples = tasks.load(task, split, source)
        if isinstance(examples, Examples):
            encoded = batches.encode(tokenizer, examples, length)
            cut, ids = encoded.truncated, encoded.ids
            what, lost = "texts are", "the rest is cut off"
        else:
            chosen = prompt_tokens.choices(tokenizer, examples, length)
            cut, ids = chosen.truncated, [own[0].ids for own in chosen.options]
            what, lost = "prompts are", "their beginning is cut off"
        limits.check(outline, ids, f"model {model!r}")
        said += _unknown(tokenizer, ids, name, model)
        if cut:
            more = "raise max_length to read on" if length < most else f"{model} reads no more"
            said.append(f"{cut} of {len(examples)} {name} {what} longer than {length} tokens, and {lost}; {more}.")
    return length, said


def _places(outline: Any) -> int:
    """How many tokens the model has places for, learned or as its configuration says."""
    learned = limits.positions(outline)
    stated = getattr(outline.config, "max_position_embeddings", None) if learned is None else learned
    return sys.maxsize if not stated or stated < 0 else int(stated)


def _unknown(tokenizer: Any, texts: Sequence[Sequence[int]], name: str, model: str) -> list[str]:
    """The sentence about tokens of the texts that the tokenizer does not know; `UserError` where most are not known."""
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    tokens = [token for ids in texts for token in ids if token not in special]
    empty = sum(not set(ids) - special for ids in texts)
    unknown = sum(token == tokenizer.unk_token_id for token in tokens)
    if not tokens or unknown > MOSTLY_UNKNOWN * len(tokens) or empty > MOSTLY_UNKNOWN * len(texts):
        raise UserError(
            f"the tokenizer of {model} does not know the {name} texts: {unknown:,} of {len(tokens):,} tokens are "
            f"{tokenizer.unk_token or 'unknown'}, and {empty:,} of {len(texts):,} texts have no token; give a model of "
            "the texts' language, with its own tokenizer"
        )
    if unknown > OFTEN_UNKNOWN * len(tokens):
        share = unknown / len(tokens)
        return [f"{share:.0%} of the tokens of the {name} texts are unknown to the tokenizer of {model}."]
    return []
