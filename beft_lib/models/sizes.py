"""How large a model is, known without its weights: what memory and time are estimated from."""

import json
import struct
from typing import NamedTuple

from .catalogue import locate
from .sources import Folder, Random


class Size(NamedTuple):
    """Scalars of a model, its layers, and how wide they are."""

    parameters: int
    layers: int
    width: int


SIZES = {
    "minilm-l6": Size(22_713_986, 6, 384),
    "mpnet-base": Size(109_486_464, 12, 768),
    "bert-base": Size(108_310_272, 12, 768),
    "bert-large": Size(333_579_264, 24, 1024),
    "roberta-base": Size(124_645_632, 12, 768),
    "smollm2-135m": Size(134_515_008, 30, 576),
    "opt-125m": Size(125_239_296, 12, 768),
    "opt-1.3b": Size(1_315_758_080, 24, 2048),
    "opt-6.7b": Size(6_658_473_984, 32, 4096),
}
TINY = Size(100_000, 2, 64)  # at most


def size(name: str) -> Size | None:
    """The size of a model; None for one that is not in the catalogue and not in a folder, so not known yet."""
    if name in SIZES:
        return SIZES[name]
    match locate(name):
        case Random():
            return TINY
        case Folder(path):
            config = json.loads((path / "config.json").read_text(encoding="utf-8"))
            return Size(
                sum(_scalars(file) for file in path.glob("*.safetensors")),
                int(config.get("num_hidden_layers") or config.get("n_layer") or config.get("n_layers") or 1),
                int(config.get("hidden_size") or config.get("n_embd") or config.get("dim") or 1),
            )
    return None


def _scalars(file) -> int:
    """How many scalars a safetensors file holds, by its header."""
    with open(file, "rb") as content:
        (length,) = struct.unpack("<Q", content.read(8))
        header = json.loads(content.read(length))
    shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
    total = 0
    for shape in shapes:
        count = 1
        for side in shape:
            count *= side
        total += count
    return total
