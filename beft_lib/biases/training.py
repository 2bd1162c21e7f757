"""Choose which biases of a model train, and copy their values out and back."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from beft_lib.biases.handles import Bias
from beft_lib.errors import UserError

# The fused biases of which only a part trains: the gradient's hook, and the positions that stay (True). Kept
# by parameter, weakly, because that is what a hook belongs to: a copy of the model has neither.
_partial: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def train_only(model: nn.Module, handles: Iterable[Bias], also: Iterable[nn.Parameter | nn.Module] = ()) -> None:
    """Train exactly these biases, and the parameters or modules in `also` (the head); freeze everything else.

    Missing biases are added. Of a fused bias only the handles' positions train: a hook zeroes the rest of its
    gradient, so that neither clipping nor the optimizer sees them. Calling it again replaces the earlier
    selection with its hooks, and clears all gradients. With neither handles nor `also` everything is frozen;
    with `also=[model]` everything trains.

    Requirements: 1. create the optimizer afterwards, so that it lists the added biases; 2. where a fused bias
    trains in part, weight decay must be 0 (the paper's setting), because decay moves a scalar whose gradient
    is zero; 3. call it anew on a deep copy of the model, because PyTorch copies no hooks. A parameter that
    modules share trains for all of them: a tied `lm_head` in `also` trains the embeddings.

    Raises a `UserError` for a handle or a parameter of another model, before anything changes.
    """
    handles, also = list(handles), list(also)
    modules = set(model.modules())
    for bias in handles:
        if bias.module not in modules:
            raise UserError(f"bias {bias.key} ({bias.name}) is of another model: use this model's handles")
    whole = set()
    for extra in also:
        whole.update([extra] if isinstance(extra, nn.Parameter) else extra.parameters())
    if not whole.issubset(model.parameters()):
        raise UserError("a parameter in `also` is of another model: pass this model's parameters or modules")

    chosen: dict[nn.Parameter, list[Bias]] = {}
    for bias in handles:
        chosen.setdefault(bias.add(), []).append(bias)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
        if parameter in _partial:
            _partial.pop(parameter)[0].remove()

    for parameter in whole.union(chosen):
        parameter.requires_grad_(True)
    for parameter, parts in chosen.items():
        frozen = torch.ones(parameter.shape, dtype=torch.bool)
        for bias in parts:
            frozen[... if bias.index is None else bias.index] = False
        if parameter not in whole and frozen.any():
            _partial[parameter] = (parameter.register_hook(_zeroing(frozen)), frozen)


def trainable_scalars(model: nn.Module) -> int:
    """Number of scalars that train: of a fused bias only the positions chosen by `train_only`."""
    return sum(
        parameter.numel() - (int(_partial[parameter][1].sum()) if parameter in _partial else 0)
        for parameter in model.parameters()
        if parameter.requires_grad
    )


def snapshot(handles: Iterable[Bias]) -> dict[str, Tensor]:
    """The values of the biases by their keys, detached and on the CPU; zeros for a missing one."""
    return {bias.key: bias.read() for bias in handles}


def restore(handles: Iterable[Bias], snapshot: Mapping[str, Tensor]) -> None:
    """Write a snapshot back, bit for bit when the dtype is that of the snapshot; missing biases are added.

    Raises a `UserError` that names the key when one is missing, unexpected or of another shape, and then
    writes nothing.
    """
    by_key = {bias.key: bias for bias in handles}
    if absent := sorted(by_key.keys() - snapshot.keys()):
        raise UserError(f"no bias {absent[0]!r} in the snapshot; it holds {', '.join(snapshot) or 'nothing'}")
    if extra := sorted(snapshot.keys() - by_key.keys()):
        raise UserError(f"no handle for bias {extra[0]!r} in the snapshot; given: {', '.join(by_key) or '-'}")
    for key, bias in by_key.items():
        if tuple(snapshot[key].shape) != (bias.size,):
            shape = tuple(snapshot[key].shape)
            raise UserError(f"bias {key!r} ({bias.name}) has shape ({bias.size},), in the snapshot {shape}")
    for key, bias in by_key.items():
        bias.write(snapshot[key])


def _zeroing(frozen: Tensor):
    """A gradient hook that zeroes the frozen positions."""
    return lambda gradient: gradient.masked_fill(frozen.to(gradient.device), 0)
