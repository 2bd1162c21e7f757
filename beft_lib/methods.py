"""What is trained: one bias term, all biases, what they are compared with, the head alone, or nothing.

On an encoder, in every method but `none` and `merged` the *head* trains too, as in the authors' code: whatever lies
outside the pre-trained encoder, and the bias (not the weight) of a pooler inside it. The `head_only` control tells what
the head alone does. A language model has no such head: what it predicts words with is pre-trained, and stays.
"""

import warnings
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from beft_lib.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import Tensor, nn

    from beft_lib.biases import Bias
    from beft_lib.scattered import Scattered

ATTENTION_TERMS = ("query", "key", "value")
METHODS = {
    "query": "the query biases b_q and the head",
    "key": "the key biases b_k and the head",
    "value": "the value biases b_v and the head",
    "output": "the biases b_o of the attention's output projections and the head",
    "all_biases": "every bias of the model and the head (BitFit); b_q, b_k and b_v of a decoder that has none",
    "random": "as many scalars of the encoder as b_v has, drawn at random, and the head (the paper's rand uniform)",
    "full": "every parameter",
    "lora": "low-rank changes of the query and value projections, and the head",
    "prefix": "virtual tokens before the keys and values of every layer, and the head",
    "head_only": "the head alone: the control",
    "none": "nothing: the model as it comes",
    "zero_shot": "nothing: a decoder answers the prompt as it comes",
    "in_context": "nothing: a decoder answers after solved examples in its prompt",
    "merged": "nothing: biases that other runs tuned, weighted and added up, and the head of one of them",
}
OF_ENCODERS = ("head_only", "none", "merged")  # of a model with a head of its own,
OF_DECODERS = ("zero_shot", "in_context")  # and of a language model that answers prompts
UNTUNED = ("none", "merged", *OF_DECODERS)
SEEDLESS = ("zero_shot",)  # the same whatever the seed: one run stands for all
PREFIX = "bias:"  # any other term by its path in a layer, e.g. bias:attention.output.dense
HEADS = ("bias",)  # of a head with a hidden layer: train the bias of that layer, and the output layer

LORA_RANK, LORA_ALPHA = 8, 16  # the paper's (and MeZO's), on the query and value projections
PREFIX_TOKENS = 5  # without re-parametrisation

TITLES = {
    "query": "b_q",
    "key": "b_k",
    "value": "b_v",
    "output": "b_o",
    "all_biases": "all biases",
    "random": "rand uniform",
    "full": "all parameters",
    "lora": "LoRA",
    "prefix": "prefix tuning",
    "head_only": "head only",
    "none": "no tuning",
    "zero_shot": "zero-shot",
    "in_context": "in-context learning",
    "merged": "merged",
}


def check(name: str) -> str:
    """The name itself if it is a method, else `UserError`; a `bias:` term is checked when a model is there."""
    if name in METHODS or (name.startswith(PREFIX) and len(name) > len(PREFIX)):
        return name
    raise unknown("method", name, METHODS, f"Any other bias term: '{PREFIX}<path in the layer>'")


def check_for(name: str, prompts: bool) -> None:
    """Raise `UserError` for a method that a task with prompts, or one for a head, cannot be carried out with."""
    if name in (wrong := OF_ENCODERS if prompts else OF_DECODERS):
        kind = "answers prompts and trains no head" if prompts else "is for a model with a head, not for prompts"
        valid = [method for method in METHODS if method not in wrong]
        raise UserError(f"method {name!r}: the task {kind}; valid: {', '.join(valid)}")


def title(name: str) -> str:
    """How a figure or a table calls the method."""
    return TITLES.get(name, name.removeprefix(PREFIX))


def trained_biases(model, method: str) -> list:
    """The handles of the biases that a method tunes (none for a method that is not about biases)."""
    from beft_lib import biases

    if method == "all_biases":
        added = [handle for layer in biases.attention_biases(model) for handle in layer]
        return biases.all_biases(model) or (added if _answers(model) else [])
    if method == "output":
        return [output.bias for output in biases.outputs(model)]
    if method in ATTENTION_TERMS or method.startswith(PREFIX):
        return biases.term_biases(model, method.removeprefix(PREFIX))
    return []


def head(model, kind: str | None = None) -> list:
    """The head's parameters: all outside `model.base_model`, and every `pooler` bias inside it.

    BERT: classifier weight and bias, `pooler.dense.bias`: c·d + c + d = 1,538 + 768 scalars for BERT-base and two
    classes. RoBERTa's head holds a dense layer of its own, 600,000 scalars beside which b_v is 1.5 %; `kind` "bias"
    leaves out that layer's weight, so that the head is what BERT's is. Raises `UserError` where a head has no such
    layer. A language model has none: an empty list.
    """
    if _answers(model):
        return []
    inside = {id(p) for n, p in model.base_model.named_parameters() if not _pooler_bias(n)}
    named = {name: p for name, p in model.named_parameters() if id(p) not in inside}
    if kind is None:
        return list(named.values())
    hidden = [name for name, p in named.items() if p.dim() > 1][:-1]  # the last matrix is the output layer
    if not hidden:
        raise UserError(
            f"head {kind!r}: {type(model).__name__}'s head has no hidden layer of its own, so there is nothing "
            "to leave out; leave head out"
        )
    return [p for name, p in named.items() if name not in hidden]


def head_biases(model) -> list["Bias"]:
    """Handles of the head's biases whose matrix is pre-trained and stays: a pooler's, and one tied to the embeddings'.

    Their layer is None, their keys "-/pooler.dense" and, in a masked language model, "-/cls.predictions.decoder".
    """
    from torch import nn

    from beft_lib import biases

    trained, found = {id(p) for p in head(model)}, []
    for path, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        weight, bias = own.get("weight"), own.get("bias")
        if isinstance(weight, nn.Parameter) and id(bias) in trained and id(weight) not in trained:
            term = path.removeprefix(f"{model.base_model_prefix}.")
            found.append(biases.Bias(term, None, f"{path}.bias", module))
    return found


def _answers(model) -> bool:
    """Whether the model is a language model that generates text: what it predicts words with is no fresh head."""
    return hasattr(model, "can_generate") and model.can_generate()


def _pooler_bias(name: str) -> bool:
    return name.split(".")[-1] == "bias" and "pooler" in name.split(".")


class Prepared(NamedTuple):
    """A model that trains what a method says. `model` is the given one, or wraps it (prefix tuning)."""

    model: "nn.Module"
    handles: list  # of the tuned biases
    scalars: "Scattered | None" = None  # of `random`: to be written back after each step


def trainable(prepared: Prepared) -> int:
    """Scalars that train, the head's included; of a fused bias those of the chosen term."""
    from beft_lib import biases

    model, _, scalars = prepared
    if scalars is None:
        return biases.trainable_scalars(model)
    dense = scalars.dense()
    return len(scalars) + sum(p.numel() for p in model.parameters() if p.requires_grad and id(p) not in dense)


def tuned_tensors(prepared: Prepared) -> dict:
    """What has to be kept of a tuned model, by name: the parameters that train; of random scalars their places too."""
    model, handles, scalars = prepared
    if scalars is None:
        return {n: p.detach().cpu().contiguous() for n, p in model.named_parameters() if p.requires_grad}
    dense = scalars.dense()
    kept = {n: p.detach().cpu() for n, p in model.named_parameters() if p.requires_grad and id(p) not in dense}
    places = {f"places/{name}": positions.int() for name, positions in scalars.places.items()}
    return kept | places | {"scalars": scalars.values.detach().cpu()}


def apply(
    model, method: str, seed: int = 0, head_kind: str | None = None, layers: Sequence[int] | None = None
) -> Prepared:
    """Make the model train what the method says.

    `seed`: of what a method draws (scalars, an adapter's start). `layers`: of a method that tunes biases, those of
    these layers only; `UserError` for a layer in which there is none.
    """
    from beft_lib import biases, scattered

    handles = trained_biases(model, check(method))
    scattered.release(model)
    if method == "all_biases" and not handles:
        raise UserError(
            f"method 'all_biases': {type(model).__name__} has no bias; tune one that is added: "
            f"{', '.join(ATTENTION_TERMS)}"
        )
    if method in UNTUNED:
        biases.train_only(model, [])
        return Prepared(model, [])
    if layers is not None:
        if lost := sorted(set(layers) - {h.layer for h in handles}):
            have = ", ".join(map(str, dict.fromkeys(h.layer for h in handles)))
            raise UserError(f"layers: {lost[0]} has no bias that method {method!r} tunes; valid: {have or 'none'}")
        handles = [handle for handle in handles if handle.layer in layers]
    if method == "full":
        biases.train_only(model, [], also=[model])
        return Prepared(model, [])
    trained_head = head(model, head_kind)
    if method in ("lora", "prefix"):
        return Prepared(_with_adapter(model, method, seed, trained_head), [])
    biases.train_only(model, handles, also=trained_head)
    return Prepared(model, handles, _random_scalars(model, seed) if method == "random" else None)


def _random_scalars(model, seed: int) -> "Scattered":
    """As many of the encoder's scalars as b_v has; the head's are none of them."""
    from beft_lib import biases, scattered

    outside = {id(parameter) for parameter in head(model)}
    encoder = [parameter for parameter in model.base_model.parameters() if id(parameter) not in outside]
    size = sum(handle.size for handle in biases.term_biases(model, "value"))
    return scattered.draw(model, encoder, size, seed)


def _with_adapter(model, method: str, seed: int, trained_head: list):
    """The model with PEFT's LoRA in its query and value projections, or behind PEFT's prefix tuning.

    A fused projection is one matrix to LoRA: it is adapted whole, the key's part too.
    """
    import peft
    import torch

    from beft_lib import biases

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
            if _answers(model):
                return _with_prefix(model, config)
            config.task_type = peft.TaskType.SEQ_CLS
            names = {id(p): name for name, p in model.named_parameters()}
            chosen = {names[id(p)] for p in trained_head}
            model = peft.PeftModelForSequenceClassification(model, config)
            copies = {f"base_model.{_copied(name, model)}" for name in chosen}
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(name.startswith("prompt_encoder.") or name in copies)
            return model
    for parameter in trained_head:
        parameter.requires_grad_(True)
    return model


def _with_prefix(model, config):
    """A language model behind a prefix that starts as what the model computes for as many words drawn at random.

    As in MeZO, whose code the authors use. (PEFT's own start is noise, which a small model must first unlearn.)
    """
    import peft
    import torch

    words = torch.randint(model.config.vocab_size, (1, config.num_virtual_tokens))
    half = any(p.dtype == torch.bfloat16 for p in model.parameters())  # beside vectors in fp32
    with torch.no_grad(), torch.autocast(model.device.type, torch.bfloat16, enabled=half):
        start = model(words.to(model.device), use_cache=True).past_key_values
    config.task_type = peft.TaskType.CAUSAL_LM
    with warnings.catch_warnings():  # PEFT asks transformers by a name that is going to change
        warnings.simplefilter("ignore", FutureWarning)
        model = peft.PeftModelForCausalLM(model, config)
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


# What `beft` found in a model: the values before training of the biases that it then made trainable.
_before: "weakref.WeakKeyDictionary[nn.Module, dict[str, Tensor]]" = weakref.WeakKeyDictionary()


def beft(model, term: str = "value"):
    """Make a Hugging Face model train just one kind of bias, and its head; returns the model.

    `term`: "value" (the paper's choice), "query", "key", or another term of `biases.terms(model)`. A projection
    without a bias first gets a zero one, which changes no output. What the biases are at this moment is remembered, as
    long as the model lives, so that `adapters.save` can tell what tuning changed; a second call remembers anew. Raises
    `UserError` for a term or architecture that is not known.
    """
    from beft_lib import biases

    handles = biases.term_biases(model, term)
    biases.train_only(model, handles, also=head(model))
    _before[model] = biases.snapshot([*handles, *head_biases(model)])
    return model


def before(model) -> "Mapping[str, Tensor] | None":
    """What the term's and the head's biases were when `beft` prepared the model, by key; None if it did not."""
    return _before.get(model)
