"""A model made to train what a method says, and what of it then trains."""

import weakref
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from beft_lib import biases
from beft_lib.biases import Bias
from beft_lib.errors import UserError
from beft_lib.tuning import random_scalars
from beft_lib.tuning.head import head_biases, head_parameters
from beft_lib.tuning.methods import ATTENTION_TERMS, PREFIX, get
from beft_lib.tuning.peft_methods import with_adapter
from beft_lib.tuning.random_scalars import Scattered

NOT_BIASES = ("random", "full", "lora", "prefix", "head_only")  # methods that `apply_method` prepares otherwise


class Prepared(NamedTuple):
    """A model that trains what a method says. `model` is the given one, or wraps it (prefix tuning)."""

    model: nn.Module
    handles: list[Bias]  # of the tuned biases
    scalars: Scattered | None = None  # of `random`: to be written back after each step


def apply_method(
    model, method: str, seed: int = 0, head_kind: str | None = None, layers: Sequence[int] | None = None
) -> Prepared:
    """Make the model train what the method says.

    `seed`: of what a method draws (scalars, an adapter's start). `layers`: of a method that tunes biases, those of
    these layers only; `UserError` for a layer in which there is none.
    """
    untuned = get(method).untuned
    handles = trained_biases(model, method)
    random_scalars.release(model)
    if untuned:
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
    trained_head = head_parameters(model, head_kind)
    if method in ("lora", "prefix"):
        return Prepared(with_adapter(model, method, seed, trained_head), [])
    biases.train_only(model, handles, also=trained_head)
    return Prepared(model, handles, _random_scalars(model, seed) if method == "random" else None)


def _random_scalars(model, seed: int) -> Scattered:
    """As many of the encoder's scalars as b_v has; the head's are none of them."""
    outside = {id(parameter) for parameter in head_parameters(model)}
    encoder = [parameter for parameter in model.base_model.parameters() if id(parameter) not in outside]
    size = sum(handle.size for handle in biases.term_biases(model, "value"))
    return random_scalars.draw(model, encoder, size, seed)


def trained_biases(model, method: str) -> list[Bias]:
    """The handles of the biases that a method tunes (none for a method that is not about biases).

    Raises `UserError` for a method of the table of which nothing here says what it trains.
    """
    if method == "all_biases":
        return biases.all_biases(model) or [handle for layer in biases.attention_biases(model) for handle in layer]
    if method == "output":
        return [output.bias for output in biases.outputs(model)]
    if method in ATTENTION_TERMS or method.startswith(PREFIX):
        return biases.term_biases(model, method.removeprefix(PREFIX))
    if method in NOT_BIASES or get(method).untuned:
        return []
    raise UserError(
        f"method {method!r}: nothing says what it trains; add a branch to `trained_biases`, or to `apply_method` and "
        "`NOT_BIASES`, in beft_lib/tuning/prepare.py"
    )


def trainable(prepared: Prepared) -> int:
    """Scalars that train, the head's included; of a fused bias those of the chosen term."""
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


# What `beft` found in a model: the values before training of the biases that it then made trainable.
_before: weakref.WeakKeyDictionary[nn.Module, dict[str, Tensor]] = weakref.WeakKeyDictionary()


def beft(model, term: str = "value"):
    """Make a Hugging Face model train just one kind of bias, and its head; returns the model.

    `term`: "value" (the paper's choice), "query", "key", or another term of `biases.terms(model)`. A projection
    without a bias first gets a zero one, which changes no output. What the biases are at this moment is remembered, as
    long as the model lives, so that `adapters.save` can tell what tuning changed; a second call remembers anew.

    A compiled model is looked through. An added bias survives `save_pretrained` where the class can hold it (then its
    configuration's attention_bias is set, with zeros beside it); a warning says where it cannot. Raises `UserError` for
    a term or architecture that is not known, and for a model that PEFT wraps.
    """
    inner = biases.unwrapped(model)
    handles = biases.term_biases(inner, term)
    added = [handle for handle in handles if handle.missing]
    biases.train_only(inner, handles, also=head_parameters(inner))
    biases.keep(inner, added)
    _before[inner] = biases.snapshot([*handles, *head_biases(inner)])
    return model


def before(model) -> Mapping[str, Tensor] | None:
    """What the term's and the head's biases were when `beft` prepared the model, by key; None if it did not."""
    return _before.get(biases.unwrapped(model))
