"""Tuned biases as things of their own: average several, put them into a model, take them out again.

A *delta* is the change of some biases, {handle key: tensor (d,)}, as `runs.delta` returns it. Deltas are kept in fp64,
in which the difference of two fp32 numbers is exact unless one is 2²⁹ times as large as the other: short of that, a
model's bias plus its delta is the tuned bias to the bit.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from beft_lib import biases
from beft_lib.errors import UserError, unknown

Delta = Mapping[str, Tensor]


def difference(pre: Delta, post: Delta) -> dict[str, Tensor]:
    """post − pre of every bias, in fp64."""
    return {key: post[key].double() - pre[key].double() for key in post}


def average(deltas: Sequence[Delta], weights: Sequence[float] | None = None) -> dict[str, Tensor]:
    """Σᵢ wᵢ δᵢ, bias by bias: task arithmetic on tuned biases (paper §3.3, Table 3, with two deltas and ½ each).

    `weights`: default 1/n each, the arithmetic mean; they need not sum to 1. The average of one delta is that delta,
    and weights (1, 0) give the first one, to the bit. Raises `UserError` for no delta, deltas of different biases or
    shapes, or weights that are not as many finite numbers.
    """
    deltas = list(deltas)
    if not deltas:
        raise UserError("average: no delta is given; give at least one")
    weights = [1 / len(deltas)] * len(deltas) if weights is None else list(weights)
    if len(weights) != len(deltas) or not all(math.isfinite(w) for w in weights):
        raise UserError(f"average: weights {weights} for {len(deltas)} deltas; give one finite number for each")
    first = deltas[0]
    for place, other in enumerate(deltas[1:], start=1):
        if different := sorted(first.keys() ^ other.keys()):
            raise UserError(f"average: deltas 0 and {place} are not of the same biases: only one has {different[0]!r}")
        for key in first:
            if first[key].shape != other[key].shape:
                shapes = f"{tuple(first[key].shape)} and {tuple(other[key].shape)}"
                raise UserError(f"average: bias {key!r} of deltas 0 and {place} has shapes {shapes}: another model's")
    return {key: sum(w * delta[key].double() for w, delta in zip(weights, deltas)) for key in first}


def merge(model: nn.Module, delta: Delta) -> dict[str, Tensor]:
    """Add a delta to the model's biases in place, and return what they were: `unmerge` takes it.

    Missing biases are added first. Sums are made in fp64 and rounded to the bias's own dtype. Raises `UserError` for a
    bias that the model does not have or that has another size, and then changes nothing.
    """
    handles = _handles(model, delta)
    for handle in handles:
        if delta[handle.key].shape != (handle.size,):
            raise UserError(
                f"merge: bias {handle.key} ({handle.name}) has {handle.size} scalars, the delta "
                f"{tuple(delta[handle.key].shape)}: it was tuned on another model"
            )
    before = biases.snapshot(handles)
    for handle in handles:
        handle.write(before[handle.key].double() + delta[handle.key].double().cpu())
    return before


def applied(model: nn.Module, delta: Delta) -> dict[str, Tensor]:
    """The model's biases plus the delta, in fp64; the model stays as it is."""
    return {h.key: h.read().double() + delta[h.key].double().cpu() for h in _handles(model, delta)}


def unmerge(model: nn.Module, before: Delta) -> None:
    """Put back what `merge` returned, to the bit."""
    biases.restore(_handles(model, before), before)


def _handles(model: nn.Module, keys: Delta) -> list[biases.Bias]:
    """The model's handles of these keys."""
    known = {b.key: b for b in biases.all_biases(model)}
    known |= {b.key: b for layer in biases.attention_biases(model) for b in layer}
    known |= {o.bias.key: o.bias for o in biases.outputs(model)}
    for key in keys:
        if key not in known:
            raise unknown(f"bias of {type(model).__name__}", key, known)
    return [known[key] for key in keys]


def products(first: Delta, second: Delta) -> dict[str, tuple[float, float, float]]:
    """⟨δ₁, δ₂⟩, ‖δ₁‖₂ and ‖δ₂‖₂ of every bias: what cosines and angles are made of."""
    return {
        key: (torch.dot(a, b).item(), a.norm().item(), b.norm().item())
        for key in first
        for a, b in [(first[key].double(), second[key].double())]
    }


def only(delta: Delta, layers: Sequence[int]) -> dict[str, Tensor]:
    """The delta's entries in these layers. Raises `UserError` for a layer in which it has none."""
    have = {key.partition("/")[0] for key in delta}
    if lost := [layer for layer in layers if str(layer) not in have]:
        raise UserError(f"only: the delta has no bias in layer {lost[0]}; it has some in {', '.join(sorted(have))}")
    return {key: values for key, values in delta.items() if key.partition("/")[0] in set(map(str, layers))}


def low_rank(delta: Delta, rank: int) -> dict[str, Tensor]:
    """The nearest delta whose biases, stacked as a matrix (L, d), have this rank (Eckart and Young), in fp64.

    Rank 1: one direction, more or less of it in each bias. Raises `UserError` for biases of several sizes.
    """
    if len(sizes := {tuple(values.shape) for values in delta.values()}) > 1:
        raise UserError(f"low_rank: the biases have the sizes {sorted(sizes)}; give a delta of biases of one size")
    left, strength, right = torch.linalg.svd(torch.stack([v.double() for v in delta.values()]), full_matrices=False)
    nearest = (left[:, :rank] * strength[:rank]) @ right[:rank]
    return dict(zip(delta, nearest.unbind()))


def folded(model: nn.Module, delta: Delta) -> dict[str, Tensor]:
    """The delta of b_o that does what a delta of b_v does: W_o δ, layer by layer, in fp64 (evaluation mode)."""
    values = {handle.key: output for handle, output in zip(biases.term_biases(model, "value"), biases.outputs(model))}
    if other := [key for key in delta if key not in values]:
        raise UserError(f"folded: {other[0]!r} is no value bias of {type(model).__name__}; only b_v can be folded")
    return {values[k].bias.key: values[k].weight.double() @ d.double().to(values[k].weight.device) for k, d in delta.items()}
