"""Tiny random models and their tokenizers: the same on every machine, for tests and the smoke profile.

Two layers, 32 wide, 4 heads. The weights are a constant of the project (only a classifier's head is drawn per run), and
no bias is zero: an untrained zero bias has no direction.
"""

import tempfile
from pathlib import Path
from typing import Any

from beft_lib.errors import unknown

from .architectures import ARCHITECTURES

ENCODERS = ("bert", "roberta", "mpnet")
DECODERS = ("opt", "llama")


def classifier(family: str, num_outputs: int, attention: str | None = None):
    """A random encoder of an architecture in `ENCODERS`, with a classification head."""
    import torch
    import transformers as t

    if family not in ENCODERS:
        raise unknown("tiny encoder", family, ENCODERS)
    size: dict[str, Any] = dict(
        vocab_size=len(_vocabulary(family)),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=160,
        num_labels=num_outputs,
        pad_token_id=_vocabulary(family).index("[PAD]"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if family == "bert":
            model = t.BertForSequenceClassification(t.BertConfig(**size))
        elif family == "roberta":
            model = t.RobertaForSequenceClassification(t.RobertaConfig(**size))
        else:
            model = t.MPNetForSequenceClassification(t.MPNetConfig(**size))
        _fill_biases(model.base_model)
    if attention:
        model.set_attn_implementation(attention)
    return model


def decoder(family: str, attention: str | None = None):
    """A random decoder of an architecture in `DECODERS`, with its language-model head."""
    import torch
    import transformers as t

    if family not in DECODERS:
        raise unknown("tiny decoder", family, DECODERS)
    size: dict[str, Any] = dict(
        vocab_size=len(_single_bytes()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    if family == "opt":
        config = t.OPTConfig(**size, ffn_dim=64, word_embed_proj_dim=32, init_std=0.2)
    else:
        config = t.LlamaConfig(**size, intermediate_size=64, num_key_value_heads=2, initializer_range=0.2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = t.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
        _fill_biases(model)
    return model


def tokenizer(family: str):
    """The tokenizer of a family's tiny model: letters for an encoder, single bytes for a decoder."""
    return _single_bytes() if ARCHITECTURES[family].decoder else _letters(family)


def _fill_biases(model) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                parameter.normal_(0.0, 0.1)


def _vocabulary(family: str) -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if family == "mpnet":  # its class takes token 1 for padding, whatever the configuration says
        special[:2] = special[1::-1]
    return [*special, *letters, *(f"##{c}" for c in letters), *".,;:!?'\"()-"]


def _letters(family: str):
    """A tokenizer that spells words out, so that random models need no vocabulary file."""
    from transformers import BertTokenizerFast  # pyright: ignore[reportAttributeAccessIssue]

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "vocab.txt"
        path.write_text("\n".join(_vocabulary(family)), encoding="utf-8")
        return BertTokenizerFast(vocab=str(path), do_lower_case=True, model_max_length=128)


def _single_bytes():
    """A tokenizer whose tokens are single bytes: any text comes back from it as it was, new lines included."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<pad>", "</s>", *alphabet]
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", model_max_length=512)
