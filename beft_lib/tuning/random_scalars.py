"""A few scalars scattered over a model's tensors, trained as one vector: the paper's "rand uniform" (Table 2).

The vector has the gradient, clipping and optimizer state of its N scalars. The tensors it lies in have none: after a
backward pass each one's dense gradient is gathered into the vector and dropped, and after a step the vector is written
back. What remains is the cost that cannot be avoided: autograd computes every one of those dense gradients.
"""

import weakref
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from beft_lib.errors import UserError


class Scattered:
    """N scalars of some parameters as one trainable vector.

    `values`: the vector (N,), for the optimizer. `places`: name of each parameter → flat positions in it, sorted. The
    parameters must be named as in `model.named_parameters()`; making one turns their gradients on and everything
    else in them stays as it is.
    """

    def __init__(self, model: nn.Module, places: dict[str, Tensor]):
        named = dict(model.named_parameters())
        self.places = places
        self._parts: list[tuple[nn.Parameter, Tensor, slice]] = []
        self._hooks, start, drawn = [], 0, []
        for name, positions in places.items():
            part = slice(start, start := start + len(positions))
            self._parts.append((named[name], positions, part))
            drawn.append(named[name].detach().flatten()[positions])
        self.values = nn.Parameter(torch.cat(drawn))
        for parameter, positions, part in self._parts:
            parameter.requires_grad_(True)
            self._hooks.append(parameter.register_post_accumulate_grad_hook(self._gather(positions, part)))

    def __len__(self) -> int:
        return len(self.values)

    def _gather(self, positions: Tensor, part: slice):
        def gather(parameter: nn.Parameter) -> None:
            if self.values.grad is None:
                self.values.grad = torch.zeros_like(self.values)
            assert parameter.grad is not None, "the hook runs when the gradient is there"
            self.values.grad[part] += parameter.grad.flatten()[positions.to(parameter.device)]
            parameter.grad = None

        return gather

    @torch.no_grad()
    def write(self) -> None:
        """Put the vector's values where they belong, and touch nothing else."""
        for parameter, positions, part in self._parts:
            parameter.view(-1)[positions.to(parameter.device)] = self.values[part].to(parameter)

    def dense(self) -> set[int]:
        """`id`s of the parameters that the scalars lie in: they need gradients and are none of the optimizer's."""
        return {id(parameter) for parameter, _, _ in self._parts}

    def release(self) -> None:
        """Remove the hooks: the model's gradients are ordinary again."""
        while self._hooks:
            self._hooks.pop().remove()


_active: weakref.WeakKeyDictionary[nn.Module, Scattered] = weakref.WeakKeyDictionary()


def release(model: nn.Module) -> None:
    """Undo an earlier `draw` on the model, so that its tensors train again as any others."""
    if (scalars := _active.pop(model, None)) is not None:
        scalars.release()


def draw(model: nn.Module, among: Iterable[nn.Parameter], size: int, seed: int) -> Scattered:
    """`size` scalars drawn uniformly without replacement over the parameters `among`, a draw a seed.

    Every scalar is as likely as every other, so that large matrices hold nearly all of them. Raises `UserError` for
    more scalars than there are.
    """
    wanted = {id(parameter) for parameter in among}
    named = [(name, p) for name, p in model.named_parameters() if id(p) in wanted]
    ends = np.cumsum([p.numel() for _, p in named])
    if not named or not 0 < size <= ends[-1]:
        raise UserError(f"{size} scalars cannot be drawn among {ends[-1] if named else 0}")
    drawn = np.sort(np.random.default_rng([seed, 5]).choice(int(ends[-1]), size, replace=False, shuffle=False))
    owner = np.searchsorted(ends, drawn, side="right")
    places = {}
    for place in np.unique(owner):
        name, parameter = named[place]
        places[name] = torch.from_numpy(drawn[owner == place] - (ends[place] - parameter.numel()))
    release(model)
    _active[model] = Scattered(model, places)
    return _active[model]
