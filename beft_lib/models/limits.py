"""What a loaded model can read: how many positions it has, and how many tokens it embeds."""

from collections.abc import Iterable, Sequence

from beft_lib.errors import UserError

LEARNED = ("position_embeddings", "embed_positions", "wpe")  # what architectures call their learned positions


def positions(model) -> int | None:
    """How many tokens of a text the model has learned positions for; None where positions are computed.

    Where padding has a position of its own (RoBERTa and its kin) the first ones are no token's.
    """
    for path, module in model.base_model.named_modules():
        if path.rpartition(".")[2] in LEARNED and getattr(module, "num_embeddings", None):
            padding = getattr(module, "padding_idx", None)
            before = getattr(module, "offset", 0) if padding is None else padding + 1
            return module.num_embeddings - before
    return None


def embedded(model) -> int:
    """How many tokens the model embeds."""
    return model.get_input_embeddings().weight.shape[0]


def check(model, texts: Iterable[Sequence[int]], what: str) -> None:
    """Raise `UserError` for token ids of texts that the model has no row of its embedding, or no position, for."""
    rows, places = embedded(model), positions(model)
    for ids in texts:
        if ids and max(ids) >= rows:
            raise UserError(
                f"{what} embeds {rows:,} tokens, and its tokenizer makes token {max(ids):,} of a text; save the model "
                "again after model.resize_token_embeddings(len(tokenizer)), or give it its own tokenizer"
            )
        if places is not None and len(ids) > places:
            raise UserError(
                f"{what} has {places:,} positions, and a text is read as {len(ids):,} tokens; give max_length "
                f"{places} at most (--max-length)"
            )
