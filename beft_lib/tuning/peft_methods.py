"""What PEFT adds to a model: LoRA in its query and value projections, or a prefix in every layer's attention."""

import warnings

import torch

from beft_lib import biases
from beft_lib.tuning.head import generates_text

LORA_RANK, LORA_ALPHA = 8, 16  # the paper's (and MeZO's), on the query and value projections
PREFIX_TOKENS = 5  # without re-parametrisation


def with_adapter(model, method: str, seed: int, trained_head: list):
    """The model with PEFT's LoRA in its query and value projections, or behind PEFT's prefix tuning.

    A fused projection is one matrix to LoRA: it is adapted whole, the key's part too.
    """
    import peft  # a second to import, and only these methods want it

    biases.train_only(model, [])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if method == "lora":
            attention = biases.attention_biases(model)
            targets = [_path(model, getattr(layer, term).module) for layer in attention for term in ("query", "value")]
            config = peft.LoraConfig(r=LORA_RANK, lora_alpha=LORA_ALPHA, target_modules=list(dict.fromkeys(targets)))
            peft.inject_adapter_in_model(config, model)
        else:
            config = peft.PrefixTuningConfig(num_virtual_tokens=PREFIX_TOKENS, prefix_projection=False)
            if generates_text(model):
                return _with_prefix(model, config)
            config.task_type = peft.TaskType.SEQ_CLS
            names = {id(p): name for name, p in model.named_parameters()}
            chosen = {names[id(p)] for p in trained_head}
            model = _wrapped(peft.PeftModelForSequenceClassification, model, config)
            copies = {f"base_model.{_copied(name, model)}" for name in chosen}
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(name.startswith("prompt_encoder.") or name in copies)
            return model
    for parameter in trained_head:
        parameter.requires_grad_(True)
    return model


def _wrapped(kind, model, config):
    with warnings.catch_warnings():  # PEFT asks transformers by a name that is going to change
        warnings.simplefilter("ignore", FutureWarning)
        return kind(model, config)


def _with_prefix(model, config):
    """A language model behind a prefix that starts as what the model computes for as many words drawn at random.

    As in MeZO, whose code the authors use. (PEFT's own start is noise, which a small model must first unlearn.)
    """
    import peft

    words = torch.randint(model.config.vocab_size, (1, config.num_virtual_tokens))
    half = any(p.dtype == torch.bfloat16 for p in model.parameters())  # beside vectors in fp32
    with torch.no_grad(), torch.autocast(model.device.type, torch.bfloat16, enabled=half):
        start = model(words.to(model.device), use_cache=True).past_key_values
    config.task_type = peft.TaskType.CAUSAL_LM
    model = _wrapped(peft.PeftModelForCausalLM, model, config)
    peft.initialize_kv_prefix_from_past_key_values(model, past_key_values=start)
    return model


def _path(model, module) -> str:
    return next(name for name, other in model.named_modules() if other is module)


def _copied(name: str, model) -> str:
    """Where PEFT, which trains a copy of a head's modules, keeps a parameter of the head."""
    for module in model.modules_to_save or ():
        if name.split(".")[0] == module:
            return name.replace(module, f"{module}.modules_to_save.default", 1)
    return name
