"""Models that look tuned, without training: a term's biases and the head of a random model moved in place.

tuned, move, PAIRS    such models, of every architecture and head
stock                 what stock PEFT makes of a saved adapter
logits, state, same   what a model computes and holds
"""

import warnings

import peft
import torch
from families import FAMILIES, batch, build
from torch import Tensor
from transformers import PreTrainedModel

import beft_lib
from beft_lib import biases
from beft_lib.tuning.head import head_biases, head_parameters

PAIRS = [(name, head) for name in FAMILIES for head in ("classification", "lm")]
CONTAINERS = {  # of these, the head's modules hold further modules
    *((name, "classification") for name in ("roberta", "xlm-roberta", "electra", "mpnet", "deberta-v2", "t5")),
    *((name, "lm") for name in ("bert", "electra", "deberta-v2")),
}


def tuned(
    name: str, head: str = "classification", term: str = "value", seed: int = 1, cancel: bool = False, **config
) -> PreTrainedModel:
    """`build` with its biases and head moved after `beft`, as training would move them.

    `cancel`: every third scalar of the biases becomes tiny, so that before and change nearly cancel, and fp32 cannot
    hold the change.
    """
    model = beft_lib.beft(build(name, head, **config), term)
    move(model, term, seed, cancel)
    return model


@torch.no_grad()
def move(model: PreTrainedModel, term: str = "value", seed: int = 1, cancel: bool = False) -> None:
    """Move the term's biases and the head's parameters at random, in place."""
    random = torch.Generator().manual_seed(seed)
    of_the_head = head_biases(model)
    for handle in (*biases.term_biases(model, term), *of_the_head):
        values = handle.read() + 0.1 * torch.randn(handle.size, generator=random).to(handle.read())
        if cancel:
            values[::3] = 1e-4 * torch.randn(len(values[::3]), generator=random)
        handle.write(values)
    moved = {handle.parameter for handle in of_the_head}
    for parameter in head_parameters(model):
        if parameter not in moved:
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random).to(parameter))


def stock(model, folder):
    """The model behind the adapter as stock PEFT loads it; its warnings, but for the one of missing biases, fail."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = peft.PeftModel.from_pretrained(model, folder).eval()
    said = [str(w.message) for w in heard if issubclass(w.category, UserWarning)]
    assert not [text for text in said if "has no bias term" not in text], said
    return found


@torch.no_grad()
def logits(model, b: int = 4, seed: int = 0) -> Tensor:
    """The logits of a random batch: (b, classes) or (b, t, vocabulary)."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    inputs = batch(inner, b=b, seed=seed)
    labels = inputs.pop("labels")
    if inner.config.is_encoder_decoder and labels.dim() > 1:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    return inner(**inputs).logits


def state(model) -> dict[str, Tensor]:
    """A copy of every parameter."""
    return {name: values.clone() for name, values in model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether both hold the same tensors to the bit (−0.0 and 0.0 being two numbers)."""
    return first.keys() == second.keys() and all(
        first[name].dtype is second[name].dtype
        and first[name].shape == second[name].shape
        and torch.equal(*(side[name].flatten().view(torch.uint8) for side in (first, second)))
        for name in first
    )
