"""The forward pass of BERT's family, written out over the model's own parameters: what a head reads, and no more.

BERT, RoBERTa, XLM-RoBERTa, ELECTRA and MPNet share one encoder layer. Their logits are computed here from the modules
of the model as it is: nothing is wrapped or patched, and nothing is kept. Against transformers' own forward pass

1. the last layer is computed for the first token alone, which is all that a classification head reads; its keys and
   values are computed for every token;
2. a dropout mask is a comparison of random 16-bit numbers, several times as fast as `bernoulli_`: an element is dropped
   with probability round(p·2¹⁶)/2¹⁶ (0.1 → 0.100006), and what stays is divided by the true probability to stay;
3. under bf16 everything between two norms is in bf16 (sums within a product or a softmax are fp32 inside), and the
   residual stream and the norms are in fp32, without autocast's conversion at every operation.

Everything else is the same function of the same parameters, up to rounding, so that any subset of them can train, and
an injected LoRA projection is called where it stands. `name` says whether a model is one of these; any other goes
through its own forward, as does one that a hook or another layer was put into.

Random numbers are drawn from torch's default generator of the device in a fixed order.

Shapes: b examples, t tokens, r of them whose states are computed (t; in the last layer 1), d width, h heads, w width of
a head, c classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from beft_lib import importance
from beft_lib.importance import Outputs

TRANSFORMERS, ENCODER = "transformers", "encoder"

# Makes the mask of one place, from its name ("embeddings", "0/attention", "0/output", …), its shape, the probability to
# drop, and a tensor of the wanted dtype and device: 1 where an element stays and else 0; and the probability to stay.
Masks = Callable[[str, Sequence[int], float, Tensor], tuple[Tensor, float]]

_STEPS = 2**16


def random_mask(place: str, shape: Sequence[int], p: float, like: Tensor) -> tuple[Tensor, float]:
    """A dropout mask from the default generator: each element 0 with probability q, else 1; and 1 − q.

    q = round(p·2¹⁶)/2¹⁶ is the probability that 16 random bits can represent.
    """
    size, cut = torch.Size(shape).numel(), round(p * _STEPS)
    mask = torch.empty(shape, dtype=like.dtype, device=like.device)
    if cut == _STEPS:
        return mask.zero_(), 1.0  # as in torch: everything is dropped
    # Over the whole range of int64: `random_()` alone leaves the sign bit 0, and every fourth number too large.
    drawn = torch.empty(-(-size // 4), dtype=torch.int64, device=like.device).random_(-(2**63), None)
    torch.ge(drawn.view(torch.int16)[:size].view(shape), cut - _STEPS // 2, out=mask)
    return mask, 1 - cut / _STEPS


# ----------------------------------------------------------------------------------------------- which models


@dataclass(frozen=True)
class _Family:
    """Where one of the families differs from BERT."""

    module: str  # of transformers.models, in which its classes are
    classes: str  # what the names of its classes begin with
    backbone: str  # the name of the backbone in the model
    attention: tuple[str, str, str, str]  # q, k, v and output projection, as paths in a layer's attention
    norm: str  # the norm after the attention, and the dropout before it, as paths there
    dropout: str
    probabilities: str  # the dropout of the attention's probabilities
    counted_positions: bool  # whether positions are counted over the tokens that are no padding (RoBERTa, MPNet)


_BERT = ("self.query", "self.key", "self.value", "output.dense")
_MPNET = ("attn.q", "attn.k", "attn.v", "attn.o")
_KIN = ("output.LayerNorm", "output.dropout", "self.dropout")
_FAMILIES = {
    family.classes + "ForSequenceClassification": family
    for family in (
        _Family("bert", "Bert", "bert", _BERT, *_KIN, False),
        _Family("roberta", "Roberta", "roberta", _BERT, *_KIN, True),
        _Family("xlm_roberta", "XLMRoberta", "roberta", _BERT, *_KIN, True),
        _Family("electra", "Electra", "electra", _BERT, *_KIN, False),
        _Family("mpnet", "MPNet", "mpnet", _MPNET, "LayerNorm", "dropout", "attn.dropout", True),
    )
}
_PARTS = ("Model", "Embeddings", "Encoder", "Layer", "Attention", "SelfAttention", "SelfOutput", "Intermediate")
_PARTS += ("Output", "Pooler", "ClassificationHead", "ForSequenceClassification")
_PLAIN = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.Dropout, nn.Tanh, nn.ModuleList)
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def name(model: nn.Module) -> str:
    """Which pass computes the model's logits: this one, "encoder", or the model's own forward, "transformers".

    Every module of the model must be of exactly the class that its architecture has there (LoRA's in place of a
    projection), without hook and without a forward of its own, and the configuration must ask for nothing else: gelu,
    no chunks, no checkpoints, no causal mask.
    """
    return TRANSFORMERS if _family(model) is None else ENCODER


def _family(model: Any) -> _Family | None:
    family = _FAMILIES.get(type(model).__name__)
    if family is None or not _within(model, family):
        return None
    config = model.config
    plain = not getattr(config, "is_decoder", False) and not getattr(config, "chunk_size_feed_forward", 0)
    return family if plain and getattr(config, "position_embedding_type", "absolute") == "absolute" else None


def _within(module: Any, family: _Family) -> bool:
    """Whether the module and all in it are of the family's classes, and nothing else happens when they are called."""
    kind = type(module)
    if _is_lora(module):
        return True  # called as it stands, with its hooks
    if "forward" in vars(module) or any(getattr(module, hooks, None) for hooks in _HOOKS):
        return False
    if kind.__module__ == "transformers.activations":
        return kind.__name__ == "GELUActivation" and module.act is nn.functional.gelu
    if kind.__module__ == f"transformers.models.{family.module}.modeling_{family.module}":
        if kind.__name__ not in [family.classes + part for part in _PARTS]:
            return False
        if getattr(module, "gradient_checkpointing", False) and module.training:
            return False
    elif kind not in _PLAIN:
        return False
    return all(_within(child, family) for child in module.children())


def _is_lora(module: nn.Module) -> bool:
    return f"{type(module).__module__}.{type(module).__name__}" == "peft.tuners.lora.layer.Linear"


# ----------------------------------------------------------------------------------------------------- the pass


def logits(
    model: nn.Module, inputs: Mapping[str, Tensor], outputs: Outputs | None = None, masks: Masks = random_mask
) -> Tensor:
    """The model's logits (b, c), through this pass where it can be (`name`), else through the model's own forward.

    `inputs`: what `batches.collate` makes, without labels: `input_ids` (b, t), and where they are needed
    `attention_mask` and `token_type_ids`. Under autocast to bf16 the products are in bf16. `outputs`: modules that the
    pass notes the outputs of, in order of their use, with the graph that leads to the logits; a module of the last
    layer may have given out the first token alone, (b, 1, d).
    """
    family = _family(model) if _INPUTS.issuperset(inputs) else None
    if family is None or (outputs and any(map(_is_lora, model.modules()))):  # its inner modules are not noted here
        return importance.observed(model, inputs, {} if outputs is None else outputs)
    kind = inputs["input_ids"].device.type
    half = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    with torch.autocast(kind, enabled=False):
        run = _Run(half, {} if outputs is None else outputs, masks)
        return _head(run, family, model, _states(run, family, getattr(model, family.backbone), inputs, first=True))


def states(model: nn.Module, inputs: Mapping[str, Tensor], masks: Masks = random_mask) -> Tensor:
    """The last layer's states of every token (b, t, d), for a head that reads more than the first one.

    Raises `ValueError` for a model that this pass does not compute (see `name`).
    """
    if (family := _family(model)) is None:
        raise ValueError(f"{type(model).__name__} is not computed by the encoder pass: call the model itself")
    return _states(_Run(None, {}, masks), family, getattr(model, family.backbone), inputs, first=False)


@dataclass(frozen=True, eq=False)
class _Run:
    """One forward pass: in which precision its products are, what is noted, and where its masks come from."""

    half: torch.dtype | None
    outputs: Outputs
    masks: Masks

    def note(self, module: nn.Module, output: Tensor) -> Tensor:
        if module in self.outputs:
            self.outputs[module].append(output)
        return output

    def narrow(self, x: Tensor) -> Tensor:
        """As the input of a product."""
        return x if self.half is None else x.to(self.half)

    def project(self, module: nn.Module, x: Tensor) -> Tensor:
        """x Wᵀ + b."""
        if type(module) is not nn.Linear:
            with torch.autocast(x.device.type, self.half, enabled=self.half is not None):
                return module(x)
        bias = None if module.bias is None else self.narrow(module.bias)
        return self.note(module, nn.functional.linear(self.narrow(x), self.narrow(module.weight), bias))

    def norm(self, module: nn.LayerNorm, x: Tensor) -> Tensor:
        return self.note(module, module(x))

    def mask(
        self, module: nn.Dropout, place: str, shape: Sequence[int], like: Tensor
    ) -> tuple[Tensor, float] | tuple[None, float]:
        """Its mask and what remains is multiplied by: the product has the expectation of what it is applied to."""
        if not module.training or module.p == 0:
            return None, 1.0
        kept, share = self.masks(place, shape, module.p, like)
        return kept, 1 / share

    def dropped(self, module: nn.Dropout, place: str, x: Tensor) -> Tensor:
        kept, scale = self.mask(module, place, x.shape, x)
        return x if kept is None else x * kept * scale

    def added(self, module: nn.Dropout, place: str, x: Tensor, change: Tensor) -> Tensor:
        """x + dropout(change), in x's precision."""
        kept, scale = self.mask(module, place, change.shape, x)
        return x + change if kept is None else torch.addcmul(x, change, kept, value=scale)


def _states(run: _Run, family: _Family, backbone: Any, inputs: Mapping[str, Tensor], first: bool) -> Tensor:
    """The last layer's states (b, r, d): r = 1 if only the `first` token's are wanted."""
    x = _embedded(run, family, backbone, inputs)  # (b, t, d)
    extra = _extra(backbone, inputs, x.shape[1], run.half or x.dtype)
    layers = backbone.encoder.layer
    for number, layer in enumerate(layers):
        rows = 1 if first and number == len(layers) - 1 else x.shape[1]
        x = _layer(run, family, layer, str(number), x, rows, extra)
    return x


def _embedded(run: _Run, family: _Family, backbone: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    embeddings, ids = backbone.embeddings, inputs["input_ids"]
    if family.counted_positions:
        own = ids.ne(embeddings.padding_idx).long()
        positions = own.cumsum(1) * own + embeddings.padding_idx
    else:
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
    wide = embeddings.LayerNorm.weight.dtype
    x = embeddings.word_embeddings(ids).to(wide)
    if (segments := getattr(embeddings, "token_type_embeddings", None)) is not None:
        types = inputs.get("token_type_ids")
        x = x + segments(torch.zeros_like(ids) if types is None else types).to(wide)
    x = run.norm(embeddings.LayerNorm, x + embeddings.position_embeddings(positions).to(wide))
    x = run.dropped(embeddings.dropout, "embeddings", x)
    if (projection := getattr(backbone, "embeddings_project", None)) is not None:
        x = run.project(projection, x).to(wide)
    return x


def _extra(backbone: Any, inputs: Mapping[str, Tensor], t: int, dtype: torch.dtype) -> Tensor | None:
    """What is added to the scores, (b or 1, h or 1, t or 1, t): −∞, about, at padding, and MPNet's relative bias."""
    extra, where = None, inputs["input_ids"].device
    if (mask := inputs.get("attention_mask")) is not None:
        extra = torch.zeros(mask.shape, dtype=dtype, device=where)
        extra = extra.masked_fill_(mask == 0, torch.finfo(dtype).min)[:, None, None]
    if (relative := getattr(backbone.encoder, "relative_attention_bias", None)) is not None:
        place = torch.arange(t, device=where)
        buckets = backbone.encoder.relative_position_bucket(place[None] - place[:, None])  # (t, t)
        bias = relative(buckets).to(dtype).permute(2, 0, 1)[None]  # (1, h, t, t)
        extra = bias if extra is None else bias + extra
    return extra


def _layer(run: _Run, family: _Family, layer: Any, number: str, x: Tensor, rows: int, extra: Tensor | None) -> Tensor:
    """The layer's states (b, r, d) of the first `rows` tokens, from the states x (b, t, d) below it."""
    attention = layer.attention
    query, key, value, output = (attention.get_submodule(path) for path in family.attention)
    heads = (attention.self if hasattr(attention, "self") else attention.attn).num_attention_heads
    narrow, top = run.narrow(x), x if rows == x.shape[1] else x[:, :rows]
    q, k, v = run.project(query, narrow[:, :rows]), run.project(key, narrow), run.project(value, narrow)
    extra = extra if extra is None else extra[:, :, :rows]
    probabilities = attention.get_submodule(family.probabilities)
    gathered = _attend(run, probabilities, f"{number}/attention", q, k, v, heads, extra)
    change = run.project(output, gathered)
    dropout, norm = attention.get_submodule(family.dropout), attention.get_submodule(family.norm)
    x = run.norm(norm, run.added(dropout, f"{number}/attention.output", top, change))
    inner = nn.functional.gelu(run.project(layer.intermediate.dense, x))
    change = run.project(layer.output.dense, inner)
    return run.norm(layer.output.LayerNorm, run.added(layer.output.dropout, f"{number}/output", x, change))


def _attend(
    run: _Run, dropout: nn.Dropout, place: str, q: Tensor, k: Tensor, v: Tensor, heads: int, extra: Tensor | None
) -> Tensor:
    """dropout(softmax(q kᵀ/√w + extra)) v of every head: q (b, r, d), k and v (b, t, d) → (b, r, d)."""
    b, (r, t) = len(q), (q.shape[1], k.shape[1])
    q, k, v = (_by_heads(y, heads) for y in (q, k, v))  # (b·h, r or t, w)
    scale, nothing = q.shape[-1] ** -0.5, q.new_zeros(1)
    if extra is None:
        scores = torch.baddbmm(nothing, q, k.transpose(1, 2), beta=0, alpha=scale)  # (b·h, r, t)
    else:
        extra = extra.expand(b, heads, -1, -1).reshape(b * heads, -1, t)
        scores = torch.baddbmm(extra, q, k.transpose(1, 2), alpha=scale)
    probabilities = scores.softmax(-1)
    kept, scale = run.mask(dropout, place, (b, heads, r, t), probabilities)
    if kept is not None:  # scaled inside the product: in bf16 a mask can hold 1, and not 1 / 0.9
        probabilities = probabilities * kept.view_as(probabilities)
    gathered = torch.baddbmm(nothing, probabilities, v, beta=0, alpha=scale)  # (b·h, r, w)
    return gathered.view(b, heads, r, -1).transpose(1, 2).reshape(b, r, -1)


def _by_heads(x: Tensor, heads: int) -> Tensor:
    """(b, t, d) → (b·h, t, w)"""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2).flatten(0, 1)


def _head(run: _Run, family: _Family, model: Any, x: Tensor) -> Tensor:
    """Logits (b, c) from the first token's state, (b, 1, d)."""
    x = x[:, 0]
    if family.classes == "Bert":
        x = run.project(model.bert.pooler.dense, x).tanh()
        return run.project(model.classifier, run.dropped(model.dropout, "head", x))
    head = model.classifier
    x = run.project(head.dense, run.dropped(head.dropout, "head", x))
    x = nn.functional.gelu(x) if family.classes == "Electra" else x.tanh()
    return run.project(head.out_proj, run.dropped(head.dropout, "head.hidden", x))
