"""Find the biases of a model: a handle to each, whether or not it exists yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from beft_lib.biases.layouts import Backbone, locate
from beft_lib.errors import UserError, unknown

# Heads that a model keeps inside its `base_model`: the pooler of BERT and its kin, and any head of a model
# that is its own backbone, as T5ForQuestionAnswering is.
HEADS = frozenset({"pooler", "classifier", "classification_head", "score", "qa_outputs", "lm_head"})


@dataclass(frozen=True, eq=False, kw_only=True)
class Bias:
    """A handle to one bias vector of a model, or to its positions inside a fused one.

    A handle holds the module and not the parameter, so it stays valid when a missing bias is added and when
    the model moves to another device or precision. It belongs to one model: a copy needs handles of its own.
    """

    term: str  # "query", "key", "value"; else the module's path in its layer, "attention.output.dense"
    layer: int | None  # from 0, in forward order (see `attention_biases`); None outside the layers
    name: str  # the parameter's name in the model, "bert.encoder.layer.0.attention.self.query.bias"
    module: nn.Module = field(repr=False)  # the module whose forward adds the bias to its output
    index: Tensor | None = field(repr=False, default=None)  # positions in a fused bias; None: all of it

    @property
    def parameter(self) -> nn.Parameter | None:
        """The model's parameter, the whole vector even where this handle is a part of it; None if missing."""
        return cast("nn.Parameter | None", self.module.bias)

    @property
    def missing(self) -> bool:
        """Whether the projection has no bias yet."""
        return self.module.bias is None

    @property
    def width(self) -> int:
        """Number of scalars of the whole vector, also where this handle is a part of it, or the bias is missing."""
        return _out_features(self.module) if (parameter := self.parameter) is None else parameter.numel()

    @property
    def size(self) -> int:
        """Number of scalars: h·d for a query, g·d for a key or value, whether or not the bias exists yet."""
        return self.width if self.index is None else len(self.index)

    @property
    def key(self) -> str:
        """Unique in the model, and the same whatever its head: "3/value", "-/embeddings.LayerNorm"."""
        return f"{'-' if self.layer is None else self.layer}/{self.term}"

    def read(self) -> Tensor:
        """A detached copy on the CPU, `(size,)`, in the parameter's dtype; zeros when missing."""
        if (parameter := self.parameter) is None:
            return torch.zeros(self.size, dtype=_weight(self.module).dtype)
        values = parameter.detach()
        return (values if self.index is None else values[self.index]).cpu().clone()

    def write(self, values: Tensor) -> None:
        """Overwrite in place with `(size,)` values, cast to the parameter's dtype; adds a missing bias."""
        if tuple(values.shape) != (self.size,):
            shape = tuple(values.shape)
            raise UserError(f"bias {self.key} ({self.name}) has shape ({self.size},), got {shape}")
        parameter = self.add()
        with torch.no_grad():
            parameter[... if self.index is None else self.index] = values.to(parameter)

    def add(self) -> nn.Parameter:
        """The parameter; a missing one is added as zeros of its weight's dtype and device, which changes no output."""
        if (parameter := self.parameter) is None:
            parameter = nn.Parameter(_weight(self.module).new_zeros(_out_features(self.module)))
            self.module.bias = parameter
        return parameter


class AttentionBiases(NamedTuple):
    """b_q, b_k and b_v of one attention module."""

    query: Bias
    key: Bias
    value: Bias


def attention_biases(model: nn.Module) -> list[AttentionBiases]:
    """b_q, b_k and b_v of every attention module, in forward order, whether or not they exist yet.

    A handle's `layer` is its place in this list. For an encoder or a decoder that is the layer's number. In
    T5 the encoder's L layers come first, and decoder layer i has self-attention L + 2i and cross-attention
    L + 2i + 1.

    Raises a `UserError` for an architecture without a `Layout`, and for a model without its layout's modules.
    """
    backbone, found = locate(model), []
    for layer, attention in enumerate(backbone.attentions):
        projections = zip(AttentionBiases._fields, attention.projections, strict=True)
        handles = [
            Bias(term=term, layer=layer, name=f"{backbone.prefix}{path}.bias", module=module, index=index)
            for term, (path, module, index) in projections
        ]
        found.append(AttentionBiases(*handles))
    return found


class Output(NamedTuple):
    """Where an attention's b_v reaches the residual stream: adding δ to b_v is adding `weight @ δ` to `bias`."""

    bias: Bias  # b_o, of the output projection, under the key it has in `all_biases`
    weight: Tensor  # (width of the model, g·d): W_o, the columns of the heads that share a value added up


def outputs(model: nn.Module) -> list[Output]:
    """The output projection of every attention, in forward order, whether or not it has a bias yet.

    Raises a `UserError` for an architecture whose `Layout` does not name it.
    """
    backbone, found = locate(model), []
    for number, attention in enumerate(backbone.attentions):
        if not attention.output:
            raise UserError(
                f"the layout of {type(model).__name__} does not name the attention's output projection; register it "
                "again with Layout(..., output='o_proj')"
            )
        module = backbone.module.get_submodule(attention.output)
        term, name = attention.output.removeprefix(f"{attention.layer}."), f"{backbone.prefix}{attention.output}.bias"
        weight = _weight(module).detach()
        weight = weight if hasattr(module, "out_features") else weight.T  # transformers' Conv1D keeps the transpose
        _, value, index = attention.projections[2]
        scalars = _out_features(value) if index is None else len(index)
        if scalars != weight.shape[1]:  # grouped queries: (width, g, h/g, d) summed over the heads of a group
            groups = scalars // attention.width
            weight = weight.unflatten(1, (groups, -1, attention.width)).sum(2).flatten(1)
        found.append(Output(Bias(term=term, layer=number, name=name, module=module), weight))
    return found


def all_biases(model: nn.Module) -> list[Bias]:
    """Every bias that exists in the backbone, LayerNorm's included, in the order of the model's modules.

    These are the paper's "all biases" (BitFit, Ben Zaken et al. 2022). A fused bias is three handles; a bias
    that several modules share is listed once. Left out are missing biases (the list is empty for Llama:
    `term_biases` has handles to add some) and the head's: all outside `model.base_model`, and the pooler,
    whose bias the authors' code trains with the head.
    """
    backbone = locate(model)
    attention: dict[nn.Module, list[Bias]] = {}
    for layer in attention_biases(model):
        for bias in layer:
            attention.setdefault(bias.module, []).append(bias)
    layers, found, seen = _layers(backbone), [], set()
    for path, module in backbone.module.named_modules():
        parameter = getattr(module, "bias", None)
        if not isinstance(parameter, nn.Parameter) or parameter in seen or HEADS & set(path.split(".")):
            continue
        seen.add(parameter)
        found += attention.get(module) or [_handle(backbone, layers, path, module)]
    return found


def projections(model: nn.Module) -> list[Bias]:
    """The bias of every projection of the backbone besides attention's q, k and v, whether or not it exists yet."""
    backbone = locate(model)
    layers, attended = _layers(backbone), {m for a in backbone.attentions for _, m, _ in a.projections}
    return [
        _handle(backbone, layers, path, module)
        for path, module in backbone.module.named_modules()
        if is_projection(module) and module not in attended
    ]


def is_projection(module: nn.Module) -> bool:
    """Whether the module is an `nn.Linear`, or transformers' `Conv1D`."""
    return isinstance(module, nn.Linear) or hasattr(module, "nf")


def _layers(backbone: Backbone) -> dict[str, int]:
    """The number of each layer by its path; with cross-attention, that of the self-attention."""
    layers: dict[str, int] = {}
    for number, attention in enumerate(backbone.attentions):
        layers.setdefault(attention.layer, number)
    return layers


def _handle(backbone: Backbone, layers: Mapping[str, int], path: str, module: nn.Module) -> Bias:
    """The handle of a module's bias, called by the module's path in its layer, or in the backbone."""
    layer = next((layer for layer in layers if path.startswith(f"{layer}.")), None)
    term = path if layer is None else path.removeprefix(f"{layer}.")
    number = None if layer is None else layers[layer]
    return Bias(term=term, layer=number, name=f"{backbone.prefix}{path}.bias", module=module)


def term_biases(model: nn.Module, term: str) -> list[Bias]:
    """The handles of one term over all layers; for query, key and value also those that are missing."""
    if term in AttentionBiases._fields:
        return [getattr(layer, term) for layer in attention_biases(model)]
    found = [bias for bias in all_biases(model) if bias.term == term]
    if not found:
        raise unknown("bias term", term, terms(model))
    return found


def terms(model: nn.Module) -> list[str]:
    """The terms of a model: query, key and value, then the others in the order of the model's modules."""
    return list(dict.fromkeys([*AttentionBiases._fields, *(bias.term for bias in all_biases(model))]))


def _out_features(projection: nn.Module) -> int:
    """Width of a projection's output: out_features of an `nn.Linear`, nf of transformers' `Conv1D`."""
    return cast(int, projection.out_features if hasattr(projection, "out_features") else projection.nf)


def _weight(projection: nn.Module) -> Tensor:
    return cast(Tensor, projection.weight)
