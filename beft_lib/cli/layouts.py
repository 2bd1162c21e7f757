"""`--layout FILE`: where an architecture keeps its biases, in YAML, for one that has no row in the table.

    model_type: megatron-bert
    attention: layer.*.attention.self      # or a list of such patterns
    query: query
    key: key
    value: value
    output: .output.dense                  # optional: the attention's output projection

With one projection for all three, `fused` and `split` (contiguous or interleaved) stand for query, key and value.
"""

from pathlib import Path

from beft_lib.errors import UserError, unknown
from beft_lib.models import architectures

SPLITS = {"contiguous": architectures.contiguous, "interleaved": architectures.interleaved}
FIELDS = ("model_type", "attention", "query", "key", "value", "fused", "split", "output")


def register(path: Path) -> None:
    """Register the layout that the file describes; `UserError` for one that cannot be read or says something else."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"layout {path} cannot be read: {reason}; write the YAML fields {', '.join(FIELDS)}") from None
    if not isinstance(found, dict):
        raise UserError(f"layout {path} holds no fields; write the YAML fields {', '.join(FIELDS)}")
    for name, value in found.items():
        if name not in FIELDS:
            raise unknown(f"field of the layout {path}", name, FIELDS)
        several = name == "attention" and isinstance(value, list) and value
        if not all(isinstance(one, str) and one for one in (value if several else [value])):
            raise UserError(f"layout {path}: {name} is {value!r}; write a text")
    model_type = found.pop("model_type", None)
    if not model_type or "attention" not in found:
        raise UserError(f"layout {path}: model_type (as in the model's config.json) and attention must be there")
    if (split := found.get("split")) is not None:
        if split not in SPLITS:
            raise unknown(f"split of the layout {path}", split, SPLITS)
        found["split"] = SPLITS[split]
    if isinstance(found["attention"], list):
        found["attention"] = tuple(found["attention"])
    architectures.register_layout(model_type, architectures.Layout(**found))
