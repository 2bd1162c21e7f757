"""How tuned biases of different runs lie to each other, and what their mixtures achieve (paper §3.3, Table 3).

The paper compares two vectors by cosine and angle. In d dimensions two random directions have a cosine of 0 ± 1.96/√d,
and over several layers the products of their layers add up; that is the null beside every cosine here.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from beft_lib import stats
from beft_lib.runs import RunResult, RunSpec, store

OVERALL = "all layers"


def alignments(specs: Sequence[RunSpec]) -> pd.DataFrame:
    """A row a merged run, pair of parts and layer, and one with the layer `OVERALL`: `seed`, `task`, `cosine`, and
    `null`, the standard deviation that the cosine of two random directions of the same norms has.

    The parts' own weights do not matter. Runs that are not stored or have a single part are left out.
    """
    rows = []
    for spec in specs:
        if (result := store.trusted(spec)) is not None and result.alignment:
            rows += [{"task": spec.task, "seed": spec.seed} | row for row in _cosines(result)]
    return pd.DataFrame(rows, columns=["task", "seed", "layer", "cosine", "null"])


def _cosines(result: RunResult) -> list[dict]:
    layers = [
        (entry.key.partition("/")[0], entry.dot, entry.norms[0] * entry.norms[1], entry.size)
        for entry in result.alignment
    ]
    rows = [
        {"layer": layer, "cosine": dot / norms if norms else np.nan, "null": size**-0.5}
        for layer, dot, norms, size in layers
    ]
    squares = [sum(entry.norms[place] ** 2 for entry in result.alignment) for place in (0, 1)]
    whole = np.sqrt(np.prod(squares))
    spread = np.sqrt(sum(norms**2 / size for _, _, norms, size in layers))
    overall = {"cosine": sum(dot for _, dot, _, _ in layers) / whole, "null": spread / whole} if whole else {}
    return [*rows, {"layer": OVERALL, "cosine": np.nan, "null": np.nan} | overall]


def cosine(frame: pd.DataFrame, layer: str = OVERALL) -> stats.Estimate:
    """The mean cosine over seeds in one layer, or overall; two evaluations of one pair of parts count once."""
    own = frame[frame.layer == layer].drop_duplicates(["task", "seed"])
    return stats.mean(own.cosine.dropna().to_numpy())


def angle(cosine: float) -> float:
    """The angle of a cosine, in degrees."""
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
