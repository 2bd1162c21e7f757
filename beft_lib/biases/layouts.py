"""Where the query, key and value projections live in each architecture, as data.

A `Layout` names an architecture's attention modules and the projections inside them, in one of two forms:

    Layout("layer.*.attention.self", "query", "key", "value")    three projections
    Layout("h.*.attn", fused="c_attn", split=contiguous)         one, of which q, k and v are slices

The star stands for the layer's number, and a pattern is matched against the end of a module's name, so that
one pattern serves a bare backbone, a model with a head, and both stacks of an encoder-decoder.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from beft_lib.errors import UserError

Split = Callable[[object], tuple[Tensor, Tensor, Tensor]]


def _head_dim(config) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def contiguous(config) -> tuple[Tensor, Tensor, Tensor]:
    """Positions of q, k and v in a projection laid out `[q | k | v]`; k and v may have fewer heads than q."""
    heads, d = config.num_attention_heads, _head_dim(config)
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    return torch.arange((heads + 2 * kv_heads) * d).split([heads * d, kv_heads * d, kv_heads * d])


def interleaved(config) -> tuple[Tensor, Tensor, Tensor]:
    """Positions of q, k and v in a projection laid out by heads, `[q1 | k1 | v1 | q2 | k2 | v2 | ...]`."""
    heads, d = config.num_attention_heads, _head_dim(config)
    query, key, value = torch.arange(heads * 3 * d).view(heads, 3, d).unbind(1)  # (h, d) each
    return query.flatten(), key.flatten(), value.flatten()


@dataclass(frozen=True)
class Layout:
    """Where an architecture keeps its query, key and value projections.

    `attention` is the pattern of its attention modules, or several patterns (self and cross attention). Then
    either `query`, `key` and `value` name the three projections inside such a module, or `fused` names the
    one that holds all three and `split` gives their positions in its bias from the model's configuration.
    `output` names the projection of what the attention gathered, inside the module or, after a leading dot,
    beside it; it is needed only where b_v is moved into that projection's bias.

    Raises a `UserError` when it names both or neither, or a pattern lacks its star.
    """

    attention: str | tuple[str, ...]
    query: str = ""
    key: str = ""
    value: str = ""
    fused: str = ""
    split: Split | None = None
    output: str = ""

    def __post_init__(self):
        separate, fused = (self.query, self.key, self.value), (self.fused, self.split)
        if not (all(separate) and not any(fused) or all(fused) and not any(separate)):
            raise UserError(f"{self}: name either query, key and value, or fused together with split")
        for pattern in self.patterns:
            if pattern.split(".").count("*") != 1:
                raise UserError(
                    f"attention pattern {pattern!r} must have one '*' where the layer's number stands, "
                    "as in 'layers.*.self_attn'"
                )

    @property
    def patterns(self) -> tuple[str, ...]:
        return (self.attention,) if isinstance(self.attention, str) else self.attention

    @property
    def projections(self) -> tuple[str, str, str]:
        """Names of the modules that compute q, k and v: three times the same one when they are fused."""
        return (self.fused,) * 3 if self.fused else (self.query, self.key, self.value)

    def output_of(self, path: str) -> str:
        """The path of the output projection of the attention module at `path`."""
        beside, dot, name = self.output.partition(".")
        return f"{path}.{self.output}" if beside or not dot else f"{path.rpartition('.')[0]}.{name}"

    def layer_of(self, path: str) -> str | None:
        """The layer's path, "encoder.layer.3", if `path` is that of its attention module; else None."""
        for pattern in self.patterns:
            before, after = map(re.escape, pattern.split("*"))
            if match := re.fullmatch(rf"((?:.*\.)?{before}\d+){after}", path):
                return match[1]
        return None

    def __str__(self) -> str:
        names = f"{self.fused} (fused)" if self.fused else ", ".join(self.projections)
        return f"{' and '.join(self.patterns)} with {names}"


_BERT = Layout("layer.*.attention.self", "query", "key", "value", output=".output.dense")
_LLAMA = Layout("layers.*.self_attn", "q_proj", "k_proj", "v_proj", output="o_proj")

LAYOUTS: dict[str, Layout] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "electra": _BERT,
    "distilbert": Layout("layer.*.attention", "q_lin", "k_lin", "v_lin", output="out_lin"),
    "mpnet": Layout("layer.*.attention.attn", "q", "k", "v", output="o"),
    "deberta-v2": Layout("layer.*.attention.self", "query_proj", "key_proj", "value_proj", output=".output.dense"),
    "opt": replace(_LLAMA, output="out_proj"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "gemma": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "phi": replace(_LLAMA, output="dense"),
    "phi3": Layout("layers.*.self_attn", fused="qkv_proj", split=contiguous, output="o_proj"),
    "gptj": Layout("h.*.attn", "q_proj", "k_proj", "v_proj", output="out_proj"),
    "gpt2": Layout("h.*.attn", fused="c_attn", split=contiguous, output="c_proj"),
    "gpt_neox": Layout("layers.*.attention", fused="query_key_value", split=interleaved, output="dense"),
    "bloom": Layout("h.*.self_attention", fused="query_key_value", split=interleaved, output="dense"),
    "t5": Layout(("block.*.layer.0.SelfAttention", "block.*.layer.1.EncDecAttention"), "q", "k", "v", output="o"),
}


def register_layout(model_type: str, layout: Layout) -> None:
    """Add an architecture, by its configuration's `model_type`, or replace a known one.

    Example:
        register_layout("olmo2", Layout("layers.*.self_attn", "q_proj", "k_proj", "v_proj"))
    """
    if not isinstance(layout, Layout):
        raise UserError(f"the layout of {model_type!r} must be a Layout, not {type(layout).__name__}")
    LAYOUTS[model_type] = layout


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


def locate(model: nn.Module) -> Backbone:
    """The backbone of a model and the attention modules in it.

    The backbone is `model.base_model`; when only the nested `text_config` is of a known type, it is the
    submodule built from that (the language model inside a vision-language model).

    Raises a `UserError` for an unknown architecture, and for a known one without the modules it should have.
    """
    config = getattr(model, "config", None)
    if config is None or not hasattr(model, "base_model"):
        raise UserError(f"expected a Hugging Face model; {type(model).__name__} has no config and base_model")
    backbone = model.base_model
    if config.model_type not in LAYOUTS:
        config = getattr(config, "text_config", None)
        backbone = next((module for module in backbone.modules() if _is_built_from(module, config)), None)
        if backbone is None or config.model_type not in LAYOUTS:
            raise _unknown_architecture(model)
    path = next(path for path, module in model.named_modules() if module is backbone)
    return Backbone(f"{path}." if path else "", backbone, _attentions(backbone, config))


def _is_built_from(module: nn.Module, config) -> bool:
    own = getattr(module, "config", None)
    return own is not None and config is not None and own.model_type == config.model_type


def _attentions(backbone: nn.Module, config) -> list[Attention]:
    layout = LAYOUTS[config.model_type]
    positions = layout.split(config) if layout.split else (None, None, None)
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
        attentions.append(Attention(layer, projections, output, _head_dim(config)))
    if not attentions:
        raise _mismatch(backbone, config, "no module has such a name")
    return attentions


def _unknown_architecture(model: nn.Module) -> UserError:
    """The error for a `model_type` without a layout, with a line to register it that its modules suggest."""
    model_type, layouts = model.config.model_type, sorted(set(LAYOUTS.values()), key=str)
    guesses = []
    for path, module in model.base_model.named_modules():
        if numbered := re.fullmatch(r"(?:.*\.)?(\w+)\.\d+((?:\.[A-Za-z_]\w*)+)", path):  # layer.0.attention
            guesses += [
                Layout(f"{numbered[1]}.*{numbered[2]}", *layout.projections)
                for layout in layouts
                if not layout.fused and all(hasattr(module, name) for name in layout.projections)
            ]
    layout, advice = (guesses[0], "its modules suggest") if guesses else (_LLAMA, "for example")
    arguments = ", ".join(repr(name) for name in (layout.attention, *layout.projections))
    return UserError(
        f"unknown architecture {model_type!r} ({type(model).__name__}): nothing says where its query, key "
        f"and value biases are. Known: {', '.join(sorted(LAYOUTS))}. Their attention modules are: "
        f"{'; '.join(map(str, layouts))}. To add yours, import Layout and register_layout from "
        f"beft_lib.biases; {advice}: register_layout({model_type!r}, Layout({arguments}))"
    )


def _mismatch(backbone: nn.Module, config, found: str) -> UserError:
    """The error for a model of a known type whose modules are not where its layout says."""
    return UserError(
        f"{type(backbone).__name__} is of the known type {config.model_type!r}, whose attention modules are "
        f"{LAYOUTS[config.model_type]}, but {found}. Describe this model with "
        f"register_layout({config.model_type!r}, Layout(...)) from beft_lib.biases"
    )
