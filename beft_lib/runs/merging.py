"""A run that is not tuned but made from the tuned biases of others, which lie in the store (paper §3.3)."""

import itertools
from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from beft_lib import adapters
from beft_lib.adapters import arithmetic
from beft_lib.errors import UserError
from beft_lib.runs import store
from beft_lib.runs.result import Alignment
from beft_lib.runs.spec import RunSpec
from beft_lib.tuning.head import head_parameters


def failed_part(spec: RunSpec) -> str | None:
    """Why the run cannot be merged, if one that it is made from failed."""
    for run in _sources(spec):
        if (part := store.read_id(run)) is not None and not part.done:
            return f"it is made from run {run}, which failed: {part.reason}"
    return None


def merge(model: nn.Module, spec: RunSpec) -> list[Alignment]:
    """Put the parts' weighted biases and the mean of the heads into the model; how the parts lie to each other.

    Raises `UserError` for a run that is not stored, was made from other weights, or has a head of another shape.
    """
    for run in _sources(spec):
        if (part := store.read_id(run)) is not None and part.spec["weights"] != spec.weights:
            raise UserError(
                f"merged run {spec.run_id}: run {run} was made from the weights {part.spec['weights']}, not from "
                f"{spec.weights}; merge runs of one model"
            )
    parts = spec.parts or ()
    deltas = [store.tensors(run, "delta") for run, _ in parts]
    mixed = adapters.average(deltas, [weight for _, weight in parts]) if deltas else {}
    alignment = _alignment(model, deltas)
    if mixed and spec.layers is not None:
        mixed = adapters.only(mixed, spec.layers)
    if mixed and spec.rank is not None:
        mixed = adapters.low_rank(adapters.folded(model, mixed), spec.rank)
    arithmetic.put(model, mixed)
    if spec.head_of:
        _put_heads(model, {run: store.tensors(run, "head") for run in spec.head_of})
    return alignment


def _sources(spec: RunSpec) -> list[str]:
    """The ids of the runs that it is made from: of biases and of heads, each once."""
    return list(dict.fromkeys([*(run for run, _ in spec.parts or ()), *(spec.head_of or ())]))


def _alignment(model: nn.Module, deltas: list[dict[str, torch.Tensor]]) -> list[Alignment]:
    """How every two of the deltas, and the biases that they make of the model's, lie to each other."""
    tuned = [adapters.applied(model, delta) for delta in deltas]
    found = []
    for i, j in itertools.combinations(range(len(deltas)), 2):
        whole = adapters.products(tuned[i], tuned[j])
        for key, (dot, *norms) in adapters.products(deltas[i], deltas[j]).items():
            tuned_dot, *tuned_norms = whole[key]
            about = {"parts": (i, j), "key": key, "size": len(deltas[i][key]), "dot": dot, "norms": norms}
            about |= {"tuned_dot": tuned_dot, "tuned_norms": tuned_norms}
            found.append(Alignment(**about))
    return found


def _put_heads(model: nn.Module, heads: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    """Overwrite the model's head with the mean of the runs' heads."""
    named = {name: p for name, p in model.named_parameters()}
    own = {id(p) for p in head_parameters(model)}
    shapes = {name: tuple(p.shape) for name, p in named.items() if id(p) in own}
    for run, head in heads.items():
        if (theirs := {name: tuple(t.shape) for name, t in head.items()}) != shapes:
            raise UserError(
                f"the head of run {run} has the shapes {theirs}, the evaluated model's {shapes}; name another"
            )
    with torch.no_grad():
        for name in shapes:
            total = cast(
                torch.Tensor, sum(head[name].double() for head in heads.values())
            )  # of no head it would be the int 0
            named[name].copy_(total / len(heads))
