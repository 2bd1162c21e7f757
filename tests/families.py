"""Tiny random models of every supported architecture, and batches for them: the grid the tests run over.

Shapes: 2 layers (in T5, 2 of each stack), 32 wide, 4 heads of 8, 2 key/value heads where queries are grouped,
64 tokens of vocabulary. Dropout stays at the architecture's default. Weights and biases are large enough (std
0.2 and 0.1) for a wrong answer to show in the logits.
"""

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

COMMON = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = {"num_key_value_heads": 2, "intermediate_size": 48}

# What each architecture adds to COMMON, by its model_type.
ENCODERS = {
    "bert": {"intermediate_size": 48},
    "roberta": {"intermediate_size": 48},
    "xlm-roberta": {"intermediate_size": 48},
    "distilbert": {"hidden_dim": 48},
    "electra": {"intermediate_size": 48, "embedding_size": 16},  # with a projection of the embeddings
    "mpnet": {"intermediate_size": 48},
    "deberta-v2": {  # as in DeBERTa-v3: relative positions projected by the layer's own query and key
        "intermediate_size": 48,
        "relative_attention": True,
        "position_buckets": 8,
        "pos_att_type": ["c2p", "p2c"],
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
    },
}
DECODERS = {
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "gpt2": {"n_inner": 48},
    "gpt_neox": {"intermediate_size": 48},
    "gptj": {"n_inner": 48, "rotary_dim": 4},
    "bloom": {},
    "llama": GROUPED,
    "mistral": GROUPED,
    "gemma": GROUPED | {"head_dim": 8},
    "qwen2": GROUPED,
    "qwen3": GROUPED | {"head_dim": 8},
    "phi": GROUPED,
    "phi3": GROUPED,
}
ENCODER_DECODERS = {
    "t5": {"num_decoder_layers": 2, "d_ff": 48, "d_kv": 8, "decoder_start_token_id": 0},
}
FAMILIES = ENCODERS | DECODERS | ENCODER_DECODERS
KIN = {  # encoders close to others, which `test_kin` holds to the most important identities, and not the whole grid
    "xlm-roberta-xl": {"intermediate_size": 48},
    "camembert": {"intermediate_size": 48},
    "ernie": {"intermediate_size": 48},
    "albert": {"intermediate_size": 48, "embedding_size": 16},  # both layers are one
    "modernbert": {"intermediate_size": 48, "cls_token_id": 1, "sep_token_id": 2},
}


def build(name: str, head: str = "classification", num_labels: int = 2, seed: int = 0, **config) -> PreTrainedModel:
    """A random fp32 model in eval mode, with random biases where the architecture has biases.

    `head` is "classification", "lm" (masked, causal or sequence to sequence) or "base"; `config` overrides
    the table.
    """
    if head == "lm":
        auto = (
            AutoModelForMaskedLM
            if name in ENCODERS | KIN
            else AutoModelForCausalLM
            if name in DECODERS
            else AutoModelForSeq2SeqLM
        )
    else:
        auto = {"classification": AutoModelForSequenceClassification, "base": AutoModel}[head]
    settings = AutoConfig.for_model(name, **COMMON | (FAMILIES | KIN)[name] | config, num_labels=num_labels)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = auto.from_config(settings)
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("bias"):
                parameter.normal_(std=0.1)
    return model.eval()


def batch(model: PreTrainedModel, b: int = 4, t: int = 10, seed: int = 0) -> dict[str, Tensor]:
    """Random input for a model: `input_ids` and `attention_mask` (b, t), and `labels` for its head.

    Row i is padded on the right by i tokens, at most half of them, and ends in the end-of-sequence token.
    """
    config, random = model.config, torch.Generator().manual_seed(seed)
    lengths = (t - torch.arange(b)).clamp(min=(t + 1) // 2)  # (b,)
    mask = (torch.arange(t) < lengths[:, None]).long()  # (b, t)
    ids = torch.randint(3, config.vocab_size, (b, t), generator=random) * mask
    ids[torch.arange(b), lengths - 1] = config.eos_token_id
    inputs = {"input_ids": ids, "attention_mask": mask}

    kind = type(model).__name__
    if kind.endswith("ForSequenceClassification"):
        scores = torch.randn(b, generator=random, dtype=model.dtype)
        classes = torch.randint(config.num_labels, (b,), generator=random)
        inputs["labels"] = scores if config.num_labels == 1 else classes
    elif not kind.endswith("Model") or kind.endswith("LMHeadModel"):
        inputs["labels"] = ids.masked_fill(mask == 0, -100)
    elif config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    return inputs
