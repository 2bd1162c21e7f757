"""How tuned biases of different runs lie to each other, and what their mixtures achieve (paper §3.3, Table 3).

The paper compares two vectors by cosine and angle. In d dimensions two random directions have a cosine of 0 ± 1.96/√d,
and over several layers the products of their layers add up; that is the null beside every cosine here.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from beft_lib import stats
from beft_lib.runs import RunSpec, store
from beft_lib.runs.store import Alignment

OVERALL = "all layers"


def alignments(specs: Sequence[RunSpec]) -> pd.DataFrame:
    """A row a merged run, pair of parts and layer, and one a pair with the layer `OVERALL`.

    Columns: `task`, `seed`, `parts` (the ids of their runs), `layer`, `cosine`, and `null`, the standard deviation that
    the cosine of two random directions of the same norms has. The parts' own weights do not matter. Runs that are not
    stored or have a single part are left out.
    """
    rows = []
    for spec in specs:
        if (result := store.trusted(spec)) is not None:
            for pair in dict.fromkeys(entry.parts for entry in result.alignment):
                made = frozenset(spec.parts[place][0] for place in pair)
                about = {"task": spec.task, "seed": spec.seed, "parts": made}
                rows += [about | row for row in _cosines([e for e in result.alignment if e.parts == pair])]
    return pd.DataFrame(rows, columns=["task", "seed", "parts", "layer", "cosine", "null"])


def _cosines(pair: Sequence[Alignment]) -> list[dict]:
    """A row a layer, all its biases together, and one for all layers."""
    layers: dict[str, list[Alignment]] = {}
    for entry in pair:
        layers.setdefault(entry.key.partition("/")[0], []).append(entry)
    return [{"layer": layer} | _cosine(own) for layer, own in {**layers, OVERALL: list(pair)}.items()]


def _cosine(entries: Sequence[Alignment]) -> dict:
    norms = np.array([entry.norms for entry in entries])  # (biases, 2)
    whole = np.prod(np.linalg.norm(norms, axis=0))
    if not whole:
        return {"cosine": np.nan, "null": np.nan}
    spread = np.sqrt(sum(np.prod(entry.norms) ** 2 / entry.size for entry in entries))
    return {"cosine": sum(entry.dot for entry in entries) / whole, "null": spread / whole}


def cosine(frame: pd.DataFrame, layer: str = OVERALL) -> stats.Estimate:
    """The mean cosine over pairs in one layer, or overall; a pair that was evaluated more than once counts once."""
    own = frame[frame.layer == layer].drop_duplicates("parts")
    return stats.mean(own.cosine.dropna().to_numpy()).within(-1, 1)


def angle(cosine: float) -> float:
    """The angle of a cosine, in degrees."""
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
