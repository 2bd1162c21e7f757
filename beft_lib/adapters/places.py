"""Where the parts of an adapter lie in a model: its biases by key, and the modules and parameters of its head."""

import contextlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from beft_lib import biases
from beft_lib.biases import Bias
from beft_lib.errors import UserError, unknown
from beft_lib.tuning.head import head_biases, head_parameters


@dataclass(frozen=True, eq=False, kw_only=True)
class Place:
    """Where a bias lies in PEFT's format: which positions of the vector that is added to which module's output."""

    module: str  # its path in the model, "bert.encoder.layer.3.attention.self.value"
    width: int  # of the vector: of all of a fused projection's output
    index: Tensor | None  # positions of this bias in it; None: all
    projection: bool  # whether the module is one (nn.Linear, Conv1D), which PEFT's format needs


def handles(model: nn.Module, keys: Iterable[str]) -> list[Bias]:
    """The model's handles of these keys; `UserError` for a key that it has none of."""
    keys, known = list(keys), tunable(model)
    if not known.keys() >= set(keys):
        with contextlib.suppress(UserError):  # of a layout that does not name the output projection
            known |= {output.bias.key: output.bias for output in biases.outputs(model)}
    for key in keys:
        if key not in known:
            raise unknown(f"bias of {type(model).__name__}", key, known)
    return [known[key] for key in keys]


def tunable(model: nn.Module) -> dict[str, Bias]:
    """Every bias that can be tuned, by key: b_q, b_k, b_v, all that exist, the head's, and the missing ones of other
    projections of the backbone."""
    found = {bias.key: bias for layer in biases.attention_biases(model) for bias in layer}
    for bias in (*biases.all_biases(model), *head_biases(model), *biases.projections(model)):
        found.setdefault(bias.key, bias)
    return found


def place(handle: Bias) -> Place:
    """Where the handle's bias lies in PEFT's format."""
    path = handle.name.removesuffix(".bias")
    projection = biases.is_projection(handle.module)
    return Place(module=path, width=handle.width, index=handle.index, projection=projection)


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """The model's parameters and saved buffers by name; one that two modules share under both names."""
    return model.state_dict(keep_vars=True)


def own(model: nn.Module, fresh: Collection[str] = ()) -> set[Tensor]:
    """The parameters that are an adapter's and not the base model's: the head's, and those of modules drawn at random.

    `fresh`: names of parameters that the checkpoint lacks; the module that holds one is the adapter's whole.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    found = set(head_parameters(model))
    for name in fresh:
        if name not in named:
            raise unknown(f"parameter of {type(model).__name__} in fresh", name, named)
        found.update(model.get_submodule(name.rpartition(".")[0]).parameters(recurse=False))
    return found


def whole_modules(model: nn.Module, own: set[Tensor]) -> list[str]:
    """Paths of the outermost modules all of whose parameters are in `own`: PEFT's `modules_to_save`.

    A head that shares a matrix with the base model, as a masked language model's, is several such modules, and the
    bias beside the shared matrix is one of `head.head_biases`. Raises `UserError` for a parameter in neither.
    """
    found: list[str] = []

    def visit(path: str, module: nn.Module) -> None:
        parameters = set(module.parameters())
        if path and parameters and parameters <= own:
            found.append(path)
        elif parameters & own:
            for name, child in module.named_children():
                visit(f"{path}.{name}" if path else name, child)

    visit("", model)
    covered = {p for path in found for p in model.get_submodule(path).parameters()}
    covered.update(handle.parameter for handle in head_biases(model) if handle.parameter is not None)
    if lost := [name for name, p in model.named_parameters() if p in own - covered]:
        raise UserError(
            f"{lost[0]} of {type(model).__name__} trains and lies in no module of the head, which PEFT's format cannot "
            "hold; keep the whole model with save_pretrained"
        )
    return found


def inside(name: str, modules: Iterable[str]) -> bool:
    """Whether the parameter or module of this name lies in one of the modules."""
    return any(name.startswith(f"{module}.") for module in modules)


def evenly(values: Tensor, count: int) -> list[float]:
    """`count` scalars of a tensor from its first to its last, at even distances, of six digits; all if it has fewer."""
    flat = values.detach().flatten()
    chosen = torch.linspace(0, len(flat) - 1, min(count, len(flat)), dtype=torch.float64).round().long()
    return [float(f"{value:.6g}") for value in flat[chosen.to(flat.device)].double().tolist()]
