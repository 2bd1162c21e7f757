"""Several adapters on one model, whose weights stay as they are: one for all rows of a batch, or one for each row."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from beft_lib.adapters import places
from beft_lib.adapters.adapter import Adapter, check_base
from beft_lib.adapters.arithmetic import sized
from beft_lib.adapters.naming import name_classes, names_of, set_names
from beft_lib.biases import unwrapped
from beft_lib.errors import UserError, unknown


class _Tuned(NamedTuple):
    """What one adapter does to the modules of a model."""

    vectors: dict[nn.Module, Tensor]  # (width,) fp32, added to the module's output
    heads: dict[nn.Module, dict[str, Tensor]]  # parameters in the place of the module's own
    labels: tuple[str, ...]  # the names of its classes


def attach(model: nn.Module, adapters: Mapping[str, Adapter]) -> "Attached":
    """Put adapters beside a model, under names of your own; none is in use until `Attached.use` says so.

    Nothing in the model changes but that its modules get hooks: a tuned projection's output becomes (W x + b) + δ with
    δ in fp32, which is what stock PEFT computes from the saved adapter (to the bit for the same weights in memory, with
    as many threads on the same processor), and the modules of a head are computed with the adapter's parameters.
    Projections without a bias work as they are. Memory: the adapters', once. The classes' names in the configuration
    (id2label, label2id) are those of the adapter in use, and the model's own again after `detach`; before the first
    `use` already those of the adapters, if they agree.

    Raises `UserError` for an adapter of another base model, or of a model class with another head, and where an adapter
    is merged into the model already.
    """
    if not adapters:
        raise UserError("attach: no adapter is given; give {name: adapter}")
    for name, adapter in adapters.items():
        if not isinstance(adapter, Adapter):
            raise UserError(f"attach: {name!r} is a {type(adapter).__name__}, not an Adapter; make one with of or load")
    model = unwrapped(model)
    return Attached(model, {name: _tuned(model, adapter) for name, adapter in adapters.items()})


def _tuned(model: nn.Module, adapter: Adapter) -> _Tuned:
    handles = sized(model, adapter.delta)
    check_base(model, adapter.base, unchanged=True)
    vectors: dict[nn.Module, Tensor] = {}
    for handle in handles:
        vector = vectors.setdefault(handle.module, torch.zeros(handle.width))
        vector[... if handle.index is None else handle.index] = adapter.delta[handle.key].float().cpu()
    named, modules = places.tensors(model), dict(model.named_modules())
    heads: dict[nn.Module, dict[str, Tensor]] = {}
    for name, values in adapter.head.items():
        path = next((path for path in adapter.form.modules if name.startswith(f"{path}.")), None)
        if path not in modules or name not in named:
            raise UserError(
                f"attach: {type(model).__name__} has no {name}, which is in the adapter's head; load the base model in "
                "the class that the adapter was tuned with"
            )
        heads.setdefault(modules[path], {})[name.removeprefix(f"{path}.")] = values
    return _Tuned(vectors, heads, adapter.labels)


class Attached:
    """Adapters beside a model (see `attach`). As a context manager it detaches them at the end."""

    def __init__(self, model: nn.Module, tuned: Mapping[str, _Tuned]):
        self._tuned, self._used, self._computing = dict(tuned), None, set()
        self._model, self._names = model, names_of(model)
        projections = dict.fromkeys(module for one in tuned.values() for module in one.vectors)
        heads = dict.fromkeys(module for one in tuned.values() for module in one.heads)
        self._hooks = [module.register_forward_hook(self._add) for module in projections]
        self._hooks += [module.register_forward_hook(self._replace, with_kwargs=True) for module in heads]
        self._name_classes(*tuned)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tuned)

    def use(self, which: str | None | Sequence[str | None]) -> None:
        """Choose what the next forward passes compute: one adapter, None (the model as it comes), or one for each row.

        With a list every batch that follows must have as many rows (in `generate` too: no beams), row i being computed
        with the i-th named; None is the model with its own head. The heads of one batch must have one shape. Rows are
        each what their adapter alone gives, up to the rounding of another batch. Not for b_q and b_k of DeBERTa, which
        are added to positions too, once for all rows. (Stock PEFT's BEFT has no such thing: it takes `adapter_names`,
        whatever they are, and silently computes every row with the active adapter.)

        Raises `UserError` for a name that is not attached, heads of several shapes, or after `detach`.
        """
        if not self._hooks:
            raise UserError("use: these adapters were detached; attach them again")
        rows = (which,) if which is None or isinstance(which, str) else tuple(which)
        if not rows:
            raise UserError("use: no row is named; give one name, or None, for each row of a batch")
        for name in rows:
            if name is not None and name not in self._tuned:
                raise unknown("attached adapter", name, self._tuned)
        if isinstance(which, str) or which is None:
            self._used = which
        else:
            self._check_mixture(dict.fromkeys(rows))
            self._used = rows
        self._name_classes(*dict.fromkeys(rows))

    def detach(self) -> None:
        """Take the hooks off; the model is as it was before `attach`."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        set_names(self._model, self._names)

    def __enter__(self) -> "Attached":
        return self

    def __exit__(self, *error) -> None:
        self.detach()

    def _name_classes(self, *used: str | None) -> None:
        """Name the model's classes as the adapters in use do; by numbers, where they differ."""
        set_names(self._model, self._names)
        labels = {self._tuned[name].labels if name is not None else () for name in used}
        if len(labels) == 1:
            heads = any(self._tuned[name].heads for name in used if name is not None)
            name_classes(self._model, labels.pop(), own_head=not heads)
        elif self._names is not None:
            numbered = [f"LABEL_{place}" for place in range(max(len(self._names[0]), *map(len, labels)))]
            name_classes(self._model, numbered)

    def _check_mixture(self, names: Mapping[str | None, None]) -> None:
        shapes: dict[tuple[nn.Module, str], tuple[str | None, torch.Size]] = {}
        for name in names:
            for module in {module for one in self._tuned.values() for module in one.heads}:
                for parameter, values in self._head(name, module).items():
                    other, shape = shapes.setdefault((module, parameter), (name, values.shape))
                    if shape != values.shape:
                        raise UserError(
                            f"use: the heads of {other!r} and {name!r} differ in {parameter} of "
                            f"{type(module).__name__}, {tuple(shape)} and {tuple(values.shape)}, and cannot be mixed "
                            "in one batch; use one after the other"
                        )

    def _head(self, name: str | None, module: nn.Module) -> Mapping[str, Tensor]:
        """The parameters of a head's module under an adapter: its own where the adapter has none for it."""
        heads = self._tuned[name].heads if name is not None else {}
        return heads.get(module) or module.state_dict(keep_vars=True)

    def _add(self, module: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
        """The hook of a projection (..., width): add the vector, or a vector to each row."""
        if self._used is None:
            return None
        if isinstance(self._used, str):
            vector = self._vector(self._used, module, output.device)
            return None if vector is None else (output + vector).to(output.dtype)
        self._check_rows(output)
        found = [None if name is None else self._vector(name, module, output.device) for name in self._used]
        nothing = torch.zeros(output.shape[-1], device=output.device)
        stacked = torch.stack([nothing if vector is None else vector for vector in found])  # (b, width)
        return (output + stacked.view(len(stacked), *[1] * (output.dim() - 2), -1)).to(output.dtype)

    def _vector(self, name: str, module: nn.Module, device: torch.device) -> Tensor | None:
        vectors = self._tuned[name].vectors
        if module not in vectors:
            return None
        if vectors[module].device != device:
            vectors[module] = vectors[module].to(device)
        return vectors[module]

    def _replace(self, module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> Tensor | None:
        """The hook of a head's module: compute it again with the parameters of the adapter, or of each row's."""
        used = self._used
        if module in self._computing or used is None:
            return None
        if isinstance(used, str):
            return self._computed(used, module, args, kwargs) if module in self._tuned[used].heads else None
        self._check_rows(output)
        parts, order = [], []
        for name in dict.fromkeys(used):
            rows = torch.tensor([row for row, other in enumerate(used) if other == name], device=output.device)
            order.append(rows)
            if name is None or module not in self._tuned[name].heads:
                parts.append(output[rows])
            else:
                chosen = [_rows(value, rows, len(used)) for value in args]
                named = {key: _rows(value, rows, len(used)) for key, value in kwargs.items()}
                parts.append(self._computed(name, module, chosen, named))
        return torch.cat(parts)[torch.cat(order).argsort()]

    def _computed(self, name: str, module: nn.Module, args: Sequence, kwargs: Mapping) -> Tensor:
        """The module's output with the parameters of one adapter, which is in use for what lies inside it too."""
        own = module.state_dict(keep_vars=True)
        head = self._tuned[name].heads[module]
        for key, values in head.items():
            if values.device != own[key].device or values.dtype != own[key].dtype:
                head[key] = values.to(own[key])
        used, self._used = self._used, name
        self._computing.add(module)
        try:
            return torch.func.functional_call(module, head, tuple(args), dict(kwargs), tie_weights=False)
        finally:
            self._computing.discard(module)
            self._used = used

    def _check_rows(self, output: Tensor) -> None:
        assert self._used is not None, "rows are checked where they are named"
        if len(output) != len(self._used):
            raise UserError(
                f"use named {len(self._used)} rows and a batch of {len(output)} rows came; give use one name, or None, "
                "for each row of the batch, or one name for all"
            )


def _rows(value, rows: Tensor, count: int):
    """The chosen rows of an argument that has as many as the batch; anything else as it is."""
    return value[rows] if isinstance(value, Tensor) and value.dim() and len(value) == count else value
