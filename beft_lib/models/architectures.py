"""What is known of an architecture before a model of it is loaded: one record each, without torch.

To add an architecture, add a row to `ARCHITECTURES`; the test suite then holds the row against a tiny random model.

A `Layout` names an architecture's attention modules and the projections inside them, in one of two forms:

    Layout("layer.*.attention.self", query="query", key="key", value="value")    three projections
    Layout("h.*.attn", fused="c_attn", split=contiguous)                         one, of which q, k and v are slices

The star stands for the layer's number, and a pattern is matched against the end of a module's name, so that one pattern
serves a bare backbone, a model with a head, and both stacks of an encoder-decoder.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace

from beft_lib.errors import UserError

Split = Callable[[object], tuple[Sequence[int], Sequence[int], Sequence[int]]]


def head_width(config) -> int:
    """d, the width of an attention head, from a model's configuration."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def contiguous(config) -> tuple[range, range, range]:
    """Positions of q, k and v in a projection laid out `[q | k | v]`; k and v may have fewer heads than q."""
    heads, d = config.num_attention_heads, head_width(config)
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    query, key = heads * d, kv_heads * d
    return range(query), range(query, query + key), range(query + key, query + 2 * key)


def interleaved(config) -> tuple[list[int], list[int], list[int]]:
    """Positions of q, k and v in a projection laid out by heads, `[q1 | k1 | v1 | q2 | k2 | v2 | ...]`."""
    heads, d = config.num_attention_heads, head_width(config)
    query, key, value = ([(3 * h + part) * d + i for h in range(heads) for i in range(d)] for part in range(3))
    return query, key, value


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
    _: KW_ONLY
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
        return (self.fused, self.fused, self.fused) if self.fused else (self.query, self.key, self.value)

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


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What is known of an architecture from its `model_type` alone."""

    model_type: str  # as in a model's config.json
    layout: Layout | None = None  # None: where its biases are is not written down
    decoder: bool = False  # it continues texts, left to right
    key_is_inert: bool = False  # no output depends on b_k (`beft_lib.biases` says why)
    hidden_head: bool = False  # its classification head has a dense layer of its own before the output layer
    attention: str | None = "sdpa"  # the fastest that transformers offers it on a CPU; else "eager". None: not known


_BERT = Layout("layer.*.attention.self", query="query", key="key", value="value", output=".output.dense")
_DEBERTA = replace(_BERT, query="query_proj", key="key_proj", value="value_proj")
_DISTILBERT = Layout("layer.*.attention", query="q_lin", key="k_lin", value="v_lin", output="out_lin")
_ALBERT = Layout(
    "albert_layer_groups.*.albert_layers.0.attention", query="query", key="key", value="value", output="dense"
)
_MODERNBERT = Layout("layers.*.attn", fused="Wqkv", split=contiguous, output="Wo")
_MPNET = Layout("layer.*.attention.attn", query="q", key="k", value="v", output="o")
_LLAMA = Layout("layers.*.self_attn", query="q_proj", key="k_proj", value="v_proj", output="o_proj")
_OPT = replace(_LLAMA, output="out_proj")
_PHI = replace(_LLAMA, output="dense")
_PHI3 = Layout("layers.*.self_attn", fused="qkv_proj", split=contiguous, output="o_proj")
_GPTJ = replace(_OPT, attention="h.*.attn")
_GPT2 = Layout("h.*.attn", fused="c_attn", split=contiguous, output="c_proj")
_NEOX = Layout("layers.*.attention", fused="query_key_value", split=interleaved, output="dense")
_BLOOM = replace(_NEOX, attention="h.*.self_attention")
_T5 = replace(_MPNET, attention=("block.*.layer.0.SelfAttention", "block.*.layer.1.EncDecAttention"))

# One row each. b_k is inert with absolute positions, and with positions that only add to the scores what depends on the
# distance alone: the relative bias of MPNet and T5, BLOOM's ALiBi (Namazifar et al. 2023). DeBERTa's is inert in some
# configurations and live in others: it counts as live.
ARCHITECTURES: dict[str, Architecture] = {
    row.model_type: row
    for row in (
        Architecture(model_type="bert", layout=_BERT, key_is_inert=True),
        Architecture(model_type="roberta", layout=_BERT, key_is_inert=True, hidden_head=True),
        Architecture(model_type="xlm-roberta", layout=_BERT, key_is_inert=True, hidden_head=True),
        Architecture(model_type="xlm-roberta-xl", layout=_BERT, key_is_inert=True, hidden_head=True),
        Architecture(model_type="camembert", layout=_BERT, key_is_inert=True, hidden_head=True),
        Architecture(model_type="ernie", layout=_BERT, key_is_inert=True),
        Architecture(
            model_type="albert", layout=_ALBERT, key_is_inert=True
        ),  # its layers share one attention, a "layer"
        Architecture(
            model_type="modernbert", layout=_MODERNBERT, hidden_head=True
        ),  # without biases, until they are added
        Architecture(model_type="electra", layout=_BERT, key_is_inert=True, hidden_head=True),
        Architecture(model_type="distilbert", layout=_DISTILBERT, key_is_inert=True, hidden_head=True),
        Architecture(model_type="mpnet", layout=_MPNET, key_is_inert=True, hidden_head=True, attention="eager"),
        Architecture(model_type="deberta-v2", layout=_DEBERTA, hidden_head=True, attention="eager"),
        Architecture(model_type="opt", layout=_OPT, decoder=True, key_is_inert=True),
        Architecture(model_type="llama", layout=_LLAMA, decoder=True),
        Architecture(model_type="mistral", layout=_LLAMA, decoder=True),
        Architecture(model_type="gemma", layout=_LLAMA, decoder=True),
        Architecture(model_type="qwen2", layout=_LLAMA, decoder=True),
        Architecture(model_type="qwen3", layout=_LLAMA, decoder=True),
        Architecture(model_type="phi", layout=_PHI, decoder=True),
        Architecture(model_type="phi3", layout=_PHI3, decoder=True),
        Architecture(model_type="gptj", layout=_GPTJ, decoder=True, attention="eager"),
        Architecture(model_type="gpt2", layout=_GPT2, decoder=True, key_is_inert=True),
        Architecture(model_type="gpt_neox", layout=_NEOX, decoder=True),
        Architecture(model_type="bloom", layout=_BLOOM, decoder=True, key_is_inert=True, attention="eager"),
        Architecture(model_type="t5", layout=_T5, key_is_inert=True, hidden_head=True),
        # Decoders whose biases nobody has located yet: `register_layout` does.
        Architecture(model_type="codegen", decoder=True, attention="eager"),
        Architecture(model_type="falcon", decoder=True),
        Architecture(model_type="gemma2", decoder=True, attention="eager"),
        Architecture(model_type="gpt_bigcode", decoder=True),
        Architecture(model_type="gpt_neo", decoder=True, attention="eager"),
        Architecture(model_type="mixtral", decoder=True),
        Architecture(model_type="mpt", decoder=True, attention="eager"),
        Architecture(model_type="olmo", decoder=True),
        Architecture(model_type="olmo2", decoder=True),
        Architecture(model_type="smollm3", decoder=True),
        Architecture(model_type="stablelm", decoder=True),
        Architecture(model_type="starcoder2", decoder=True),
    )
}


_BUILT_IN = dict(ARCHITECTURES)


def register_layout(model_type: str, layout: Layout) -> None:
    """Add an architecture, by its configuration's `model_type`, or give a known one another layout.

    Example:
        register_layout("olmo2", Layout("layers.*.self_attn", query="q_proj", key="k_proj", value="v_proj"))
    """
    if not isinstance(layout, Layout):
        raise UserError(f"the layout of {model_type!r} must be a Layout, not {type(layout).__name__}")
    known = ARCHITECTURES.get(model_type) or Architecture(model_type=model_type, attention=None)
    ARCHITECTURES[model_type] = _registered[model_type] = replace(known, layout=layout)


_registered: dict[str, Architecture] = {}  # in this process, by `register_layout`


def registered() -> dict[str, Architecture]:
    """The rows that were registered in this process, for another process to take over (`take_over`).

    Raises a `UserError` for one whose `split` another process cannot import.
    """
    for model_type, row in _registered.items():
        split = row.layout.split if row.layout else None
        if split is not None and (split.__module__ == "__main__" or "<" in split.__qualname__):
            raise UserError(
                f"the layout of {model_type!r} splits with {split.__qualname__}, which the processes of the runs "
                "cannot import: write the function in a module (a .py file beside the script), and import it from there"
            )
    return dict(_registered)


def take_over(rows: dict[str, Architecture]) -> None:
    """Know the rows that another process registered, and no more those that an earlier call brought."""
    for name in _registered.keys() - rows.keys():
        if (own := _BUILT_IN.get(name)) is None:
            ARCHITECTURES.pop(name, None)
        else:
            ARCHITECTURES[name] = own
    _registered.clear()
    _registered.update(rows)
    ARCHITECTURES.update(rows)


def layouts() -> dict[str, Layout]:
    """The layout of every architecture whose biases can be located, by `model_type`."""
    return {name: known.layout for name, known in ARCHITECTURES.items() if known.layout}
