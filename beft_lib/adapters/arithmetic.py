"""Arithmetic on tuned biases, and the way into a model and out of it again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast, overload

import torch
from torch import Tensor, nn

from beft_lib import biases
from beft_lib.adapters import places
from beft_lib.adapters.adapter import Adapter, check_base, same_base
from beft_lib.adapters.naming import Before, name_classes, names_of, set_names
from beft_lib.biases import Bias
from beft_lib.errors import UserError

Delta = Mapping[str, Tensor]

HEAD = "head/"  # before a parameter's name in what `merge` returns


def difference(pre: Delta, post: Delta) -> dict[str, Tensor]:
    """post − pre of every bias, in fp64."""
    return {key: post[key].double() - pre[key].double() for key in post}


@overload
def average(deltas: Sequence[Delta], weights: Sequence[float] | None = None) -> dict[str, Tensor]: ...
@overload
def average(deltas: Sequence[Adapter], weights: Sequence[float] | None = None) -> Adapter: ...
def average(
    deltas: Sequence[Delta] | Sequence[Adapter], weights: Sequence[float] | None = None
) -> dict[str, Tensor] | Adapter:
    """Σᵢ wᵢ δᵢ, bias by bias: task arithmetic on tuned biases (paper §3.3, Table 3, with two deltas and ½ each).

    `weights`: default 1/n each, the arithmetic mean; they need not sum to 1. The average of one delta is that delta,
    and weights (1, 0) give the first one, to the bit. Of adapters the heads are averaged too, with the same weights, in
    fp64, and the result is an adapter. Raises `UserError` for no delta, deltas of different biases or shapes, weights
    that are not as many finite numbers, adapters beside deltas, and adapters of other heads or base models.
    """
    parts = list(deltas)
    if not parts:
        raise UserError("average: no delta is given; give at least one")
    weights = [1 / len(parts)] * len(parts) if weights is None else list(weights)
    if len(weights) != len(parts) or not all(math.isfinite(w) for w in weights):
        raise UserError(f"average: weights {weights} for {len(parts)} deltas; give one finite number for each")
    plain = [delta for delta in parts if not isinstance(delta, Adapter)]
    if len(plain) < len(parts):
        return _average_adapters(_all_adapters(parts), weights)
    first = plain[0]
    for place, other in enumerate(plain[1:], start=1):
        if different := sorted(first.keys() ^ other.keys()):
            raise UserError(f"average: deltas 0 and {place} are not of the same biases: only one has {different[0]!r}")
        for key in first:
            if first[key].shape != other[key].shape:
                shapes = f"{tuple(first[key].shape)} and {tuple(other[key].shape)}"
                raise UserError(f"average: bias {key!r} of deltas 0 and {place} has shapes {shapes}: another model's")
    return {key: _weighted(weights, [delta[key] for delta in plain]) for key in first}


def _weighted(weights: Sequence[float], values: Sequence[Tensor]) -> Tensor:
    """Σᵢ wᵢ vᵢ, in fp64."""
    return cast(Tensor, sum(w * v.double() for w, v in zip(weights, values)))  # of none it would be the int 0


def _all_adapters(parts: Sequence[Delta | Adapter]) -> list[Adapter]:
    """The parts, if each is an adapter."""
    adapters = []
    for place, part in enumerate(parts):
        if not isinstance(part, Adapter):
            raise UserError(f"average: part {place} is no Adapter and others are; give only adapters, or only deltas")
        adapters.append(part)
    return adapters


def _average_adapters(adapters: list[Adapter], weights: list[float]) -> Adapter:
    first = adapters[0]
    delta = average([adapter.delta for adapter in adapters], weights)
    for place, other in enumerate(adapters[1:], start=1):
        if not same_base(first.base, other.base):
            raise UserError(
                f"average: adapters 0 and {place} were tuned on different models: {first.base} and {other.base}"
            )
        shapes, theirs = ({n: tuple(v.shape) for n, v in a.head.items()} for a in (first, other))
        for name in sorted(shapes.keys() | theirs.keys()):
            if shapes.get(name) != theirs.get(name):
                raise UserError(
                    f"average: the heads of adapters 0 and {place} differ: {name} has shape {shapes.get(name)} in the "
                    f"one and {theirs.get(name)} in the other; average their deltas alone"
                )
    head = {
        name: _weighted(weights, [adapter.head[name] for adapter in adapters]).to(values.dtype)
        for name, values in first.head.items()
    }
    alike = all(adapter.labels == first.labels for adapter in adapters)
    labels, use = (first.labels, first.use) if alike else ((), None)
    return replace(first, delta=delta, head=head, labels=labels, use=use)


def merge(model: nn.Module, what: Delta | Adapter) -> Before:
    """Add a delta to the model's biases in place, and return what they were: `unmerge` takes it.

    Missing biases are added first. Sums are made in fp64 and rounded to the bias's own dtype. Of an adapter the head is
    written too, and its classes' names into the configuration (id2label, label2id); what its parameters were is
    returned beside the biases, as "head/<parameter name>". Raises `UserError`
    for a bias or a parameter that the model does not have or that has another size, for an adapter of another base
    model, and where one is merged already (add several up with `average`), and then changes nothing.

    What is merged survives `save_pretrained` where the class can hold the added biases: its configuration's
    attention_bias is then set, with zeros beside them. A warning says where it cannot.
    """
    model = biases.unwrapped(model)
    if not isinstance(what, Adapter):
        return kept(model, what)
    check_base(model, what.base, unchanged=True)
    return kept(model, what.delta, what.head, what.labels)


def kept(
    model: nn.Module, delta: Delta, head: Mapping[str, Tensor] | None = None, labels: Sequence[str] = ()
) -> Before:
    """`put`, and biases that it adds are made to survive `save_pretrained`."""
    added = [handle for handle in sized(model, delta) if handle.missing]
    before = put(model, delta, head, labels)
    biases.keep(model, added)
    return before


def put(model: nn.Module, delta: Delta, head: Mapping[str, Tensor] | None = None, labels: Sequence[str] = ()) -> Before:
    """Add a delta to the model's biases, write a head and name its classes, whatever the base model (see `merge`)."""
    handles = sized(model, delta)
    head = head or {}
    parameters = _written(model, head)
    before = biases.snapshot(handles)
    own_head = {f"{HEAD}{name}": parameter.detach().cpu().clone() for name, parameter in parameters.items()}
    for handle in handles:
        handle.write(before[handle.key].double() + delta[handle.key].double().cpu())
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(head[name])
    found = Before(before | own_head)
    found.names = names_of(model)
    name_classes(model, labels, own_head=not head)
    return found


def applied(model: nn.Module, delta: Delta) -> dict[str, Tensor]:
    """The model's biases plus the delta, in fp64; the model stays as it is."""
    return {h.key: h.read().double() + delta[h.key].double().cpu() for h in places.handles(model, delta)}


def unmerge(model: nn.Module, before: Delta) -> None:
    """Put back what `merge` or `fold` returned, to the bit, and the names that the classes had."""
    model = biases.unwrapped(model)
    values = {key: value for key, value in before.items() if not key.startswith(HEAD)}
    named = places.tensors(model)
    head = {key.removeprefix(HEAD): value for key, value in before.items() if key.startswith(HEAD)}
    if lost := [name for name in head if name not in named]:
        raise UserError(f"unmerge: {type(model).__name__} has no parameter {lost[0]!r}; give the model it was taken of")
    biases.restore(places.handles(model, values), values)
    with torch.no_grad():
        for name, value in head.items():
            named[name].copy_(value)
    if isinstance(before, Before):
        set_names(model, before.names)


def sized(model: nn.Module, delta: Delta) -> list[Bias]:
    """The model's handles of a delta's biases; `UserError` for one that it does not have or that has another size."""
    handles = places.handles(model, delta)
    for handle in handles:
        if delta[handle.key].shape != (handle.size,):
            raise UserError(
                f"bias {handle.key} ({handle.name}) has {handle.size} scalars, the delta "
                f"{tuple(delta[handle.key].shape)}: it was tuned on another model"
            )
    return handles


def _written(model: nn.Module, head: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's tensors that a head is written to, by name.

    One that the model shares with a module that the head does not hold stays, and must be equal.
    """
    named, names = places.tensors(model), {}
    for name, tensor in named.items():
        names.setdefault(tensor, []).append(name)
    found = {}
    for name, values in head.items():
        if name not in named or named[name].shape != values.shape:
            has = f"has shape {tuple(named[name].shape)}" if name in named else "is not there"
            raise UserError(
                f"merge: {name} of the adapter's head has shape {tuple(values.shape)}, and in {type(model).__name__} "
                f"it {has}; load the base model in the class, and with the num_labels, that the adapter was tuned with"
            )
        if all(shared in head for shared in names[named[name]]):
            found[name] = named[name]
        elif not torch.equal(named[name].detach().cpu(), values.to(named[name].dtype)):
            tied = next(shared for shared in names[named[name]] if shared not in head)
            raise UserError(
                f"merge: {name} of the adapter's head was trained apart from {tied}, and in this model the two are one "
                "parameter; use attach, which changes no weight, or load the model with tie_word_embeddings=False"
            )
    return found


def products(first: Delta, second: Delta) -> dict[str, tuple[float, float, float]]:
    """⟨δ₁, δ₂⟩, ‖δ₁‖₂ and ‖δ₂‖₂ of every bias: what cosines and angles are made of."""
    return {
        key: (torch.dot(a, b).item(), a.norm().item(), b.norm().item())
        for key in first
        for a, b in [(first[key].double(), second[key].double())]
    }


def only(delta: Delta, layers: Sequence[int]) -> dict[str, Tensor]:
    """The delta's entries in these layers. Raises `UserError` for a layer in which it has none."""
    have = dict.fromkeys(key.partition("/")[0] for key in delta)
    if lost := [layer for layer in layers if str(layer) not in have]:
        raise UserError(f"only: the delta has no bias in layer {lost[0]}; it has some in {', '.join(have) or 'none'}")
    wanted = set(map(str, layers))
    return {key: values for key, values in delta.items() if key.partition("/")[0] in wanted}


def low_rank(delta: Delta, rank: int) -> dict[str, Tensor]:
    """The nearest delta whose biases, stacked as a matrix (L, d), have this rank (Eckart and Young), in fp64.

    Rank 1: one direction, more or less of it in each bias. A rank above L or d changes nothing but rounding. Raises
    `UserError` for no bias, biases of several sizes, or a rank below 1.
    """
    sizes = sorted({tuple(values.shape) for values in delta.values()})
    if len(sizes) != 1 or rank < 1:
        raise UserError(
            f"low_rank: rank {rank} of {len(delta)} biases of the sizes {sizes}; give a rank from 1, and a delta of "
            "biases of one size"
        )
    left, strength, right = torch.linalg.svd(torch.stack([v.double() for v in delta.values()]), full_matrices=False)
    nearest = (left[:, :rank] * strength[:rank]) @ right[:rank]
    return dict(zip(delta, nearest.unbind()))
