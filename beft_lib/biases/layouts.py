"""Find the backbone of a model, and in it the attention modules that its architecture's `Layout` names."""

import re
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from beft_lib.errors import UserError
from beft_lib.models.architectures import Layout, head_width, layouts


class Attention(NamedTuple):
    """An attention module, with paths relative to the backbone."""

    layer: str  # the path of its layer
    projections: list[tuple[str, nn.Module, Tensor | None]]  # of q, k, v: path, module, positions if fused
    output: str  # the path of its output projection; empty where the layout does not name it
    width: int  # of a head


class Backbone(NamedTuple):
    """The part of a model that is not its head."""

    prefix: str  # what precedes the backbone's names in the model's: "bert.", or nothing
    module: nn.Module
    attentions: list[Attention]  # in forward order


def unwrapped(model: Any) -> Any:
    """The Hugging Face model inside what torch.compile or data-parallel training put around it.

    Raises a `UserError` for a model that PEFT wraps, or of which a part was compiled: its modules have other names
    than the model that an adapter is of.
    """
    while inner := getattr(model, "_orig_mod", None) or _parallel(model):
        model = inner
    if hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
        raise UserError(
            f"the model is wrapped by PEFT ({type(model).__name__}); give the model itself, before PEFT wraps it, or "
            "what its unload() or merge_and_unload() returns"
        )
    if isinstance(model, nn.Module):
        for path, module in model.named_modules():
            if hasattr(module, "_orig_mod"):
                raise UserError(
                    f"{path} of {type(model).__name__} is compiled, which gives its biases other names; compile the "
                    "whole model with torch.compile(model), or model.compile(), after beft has prepared it"
                )
    return model


def _parallel(model: Any) -> Any:
    kinds = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return model.module if isinstance(model, kinds) else None


def locate(model: nn.Module) -> Backbone:
    """The backbone of a model and the attention modules in it.

    The backbone is `model.base_model`; when only the nested `text_config` is of a known type, it is the
    submodule built from that (the language model inside a vision-language model).

    Raises a `UserError` for an unknown architecture, and for a known one without the modules it should have.
    """
    config: Any = getattr(model, "config", None)
    if config is None or not hasattr(model, "base_model"):
        raise UserError(f"expected a Hugging Face model; {type(model).__name__} has no config and base_model")
    backbone: Any = model.base_model
    if config.model_type not in layouts():
        config = getattr(config, "text_config", None)
        backbone = next((module for module in backbone.modules() if _is_built_from(module, config)), None)
        if backbone is None or config.model_type not in layouts():
            raise _unknown_architecture(model)
    path = next(path for path, module in model.named_modules() if module is backbone)
    return Backbone(f"{path}." if path else "", backbone, _attentions(backbone, config))


def _is_built_from(module: nn.Module, config) -> bool:
    own: Any = getattr(module, "config", None)
    return own is not None and config is not None and own.model_type == config.model_type


def _attentions(backbone: nn.Module, config) -> list[Attention]:
    layout = layouts()[config.model_type]
    positions = (None, None, None)
    if layout.split:
        positions = tuple(torch.as_tensor(part) for part in layout.split(config))
    attentions = []
    for path, module in backbone.named_modules():
        layer = layout.layer_of(path)
        if layer is None:
            continue
        for name in layout.projections:
            if not hasattr(module, name):
                raise _mismatch(backbone, config, f"{path} has no {name!r}")
        projections = [
            (f"{path}.{name}", module.get_submodule(name), index)
            for name, index in zip(layout.projections, positions, strict=True)
        ]
        output = layout.output and layout.output_of(path)
        attentions.append(Attention(layer, projections, output, head_width(config)))
    if not attentions:
        raise _mismatch(backbone, config, "no module has such a name")
    return attentions


def _unknown_architecture(model: Any) -> UserError:
    """The error for a `model_type` without a layout, with a line to register it that its modules suggest."""
    model_type, known = model.config.model_type, sorted(set(layouts().values()), key=str)
    guesses = []
    for path, module in model.base_model.named_modules():
        if numbered := re.fullmatch(r"(?:.*\.)?(\w+)\.\d+((?:\.[A-Za-z_]\w*)+)", path):  # layer.0.attention
            guesses += [
                Layout(f"{numbered[1]}.*{numbered[2]}", query=layout.query, key=layout.key, value=layout.value)
                for layout in known
                if not layout.fused and all(hasattr(module, name) for name in layout.projections)
            ]
    layout, advice = (guesses[0], "its modules suggest") if guesses else (layouts()["llama"], "for example")
    arguments = f"{layout.attention!r}, query={layout.query!r}, key={layout.key!r}, value={layout.value!r}"
    return UserError(
        f"unknown architecture {model_type!r} ({type(model).__name__}): nothing says where its query, key and value "
        f"biases are. To say it, import Layout and register_layout from beft_lib.biases; {advice}: "
        f"register_layout({model_type!r}, Layout({arguments})). In the shell: --layout FILE (`beft tune --help`). "
        "Known ones: `beft list architectures`"
    )


def _mismatch(backbone: nn.Module, config, found: str) -> UserError:
    """The error for a model of a known type whose modules are not where its layout says."""
    return UserError(
        f"{type(backbone).__name__} is of the known type {config.model_type!r}, whose attention modules are "
        f"{layouts()[config.model_type]}, but {found}. Describe this model with "
        f"register_layout({config.model_type!r}, Layout(...)) from beft_lib.biases"
    )
