"""How tuned biases of different runs lie to each other, and what their mixtures achieve (paper §3.3, Table 3).

The paper compares two *tuned* b_v by cosine and angle; they share the model's own b_v. What a task did is the *change*
of it. In d dimensions the changes in two random directions have a cosine of 0 ± 1.96/√d, and over several layers the
products of their layers add up: that is the null beside every cosine of changes here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from beft_lib.evidence import stats
from beft_lib.runs import RunSpec, store
from beft_lib.runs.result import Alignment

OVERALL = "all layers"


def alignments(specs: Sequence[RunSpec]) -> pd.DataFrame:
    """A row a merged run, pair of parts and layer, and one a pair with the layer `OVERALL`.

    Columns: `task`, `seed`, `parts` (the ids of their runs), `layer`, `cosine` of the two changes, `null`, the standard
    deviation that this cosine has in random directions of the same norms, and `tuned`, the cosine of the two tuned
    biases themselves. The parts' own weights do not matter. Runs that are not stored or have a single part are left
    out.
    """
    rows = []
    for spec in specs:
        if (result := store.trusted(spec)) is not None:
            for pair in dict.fromkeys(entry.parts for entry in result.alignment):
                made = frozenset((spec.parts or ())[place][0] for place in pair)
                about = {"task": spec.task, "seed": spec.seed, "parts": made}
                rows += [about | row for row in _cosines([e for e in result.alignment if e.parts == pair])]
    return pd.DataFrame(rows, columns=["task", "seed", "parts", "layer", "cosine", "null", "tuned"])


def _cosines(pair: Sequence[Alignment]) -> list[dict[str, Any]]:
    """A row a layer, all its biases together, and one for all layers."""
    layers: dict[str, list[Alignment]] = {}
    for entry in pair:
        layers.setdefault(entry.key.partition("/")[0], []).append(entry)
    ordered = {layer: layers[layer] for layer in sorted(layers, key=lambda name: (len(name), name))}
    return [{"layer": layer} | _cosine(own) for layer, own in {**ordered, OVERALL: list(pair)}.items()]


def _cosine(entries: Sequence[Alignment]) -> dict[str, Any]:
    norms, tuned = (np.array([getattr(entry, kind) for entry in entries]) for kind in ("norms", "tuned_norms"))
    whole, of_tuned = (np.prod(np.linalg.norm(own, axis=0)) for own in (norms, tuned))  # own: (biases, 2)
    found = {"tuned": sum(entry.tuned_dot for entry in entries) / of_tuned if of_tuned else np.nan}
    if not whole:
        return found | {"cosine": np.nan, "null": np.nan}
    spread = np.sqrt(sum(np.prod(entry.norms) ** 2 / entry.size for entry in entries))
    return found | {"cosine": sum(entry.dot for entry in entries) / whole, "null": spread / whole}


def cosine(frame: pd.DataFrame, layer: str = OVERALL, of: str = "cosine") -> stats.Estimate:
    """The mean cosine over pairs in one layer, or overall; a pair that was evaluated more than once counts once.

    `of`: "cosine", of the changes, or "tuned".
    """
    own = frame[frame.layer == layer].drop_duplicates("parts")
    return stats.mean(own[of].dropna().to_numpy()).within(-1, 1)


def null(frame: pd.DataFrame, layer: str = OVERALL) -> float:
    """Where 95 % of the cosines of random directions lie: within ± this."""
    return 1.96 * frame[frame.layer == layer].null.mean()


def closer(kin: pd.DataFrame, apart: pd.DataFrame) -> dict[str, stats.Estimate]:
    """By task: how much the cosine of two changes by that task exceeds that of a change by it and one by another task.

    Both of two seeds, paired by the first one; over seeds. A task that moves b_v nowhere in particular is not closer to
    itself than to another.
    """
    found = {}
    for task in dict.fromkeys(kin.task):
        same, other = (f[(f.layer == OVERALL) & (f.task == task)].set_index("seed").cosine for f in (kin, apart))
        found[task] = stats.mean((same - other).dropna().to_numpy())
    return found


def angle(cosine: float) -> float:
    """The angle of a cosine, in degrees."""
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
