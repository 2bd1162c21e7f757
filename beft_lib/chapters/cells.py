"""Cells and small tables that several chapters share."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from beft_lib.evidence import Comparison, stats
from beft_lib.tuning import methods


def score_cell(comparison: Comparison, method: str) -> str:
    found = comparison.score(method)
    if np.isnan(found.mean):
        return "failed" if any(m == method for m, _ in comparison.specs) else "–"
    spread = "one seed" if np.isnan(found.low) else f"± {_half(comparison, method):.1f}"
    return f"{found.mean:.1f} {spread}" + ("†" if comparison.selected("projection") == method else "")


def _half(comparison: Comparison, method: str) -> float:
    """Half of Student's interval, before it is cut at the ends of the metric's range."""
    return stats.mean(comparison.scores[method].dropna().to_numpy()).half


def best_term(comparison: Comparison) -> str | None:
    """The term that scores higher than each of the other two beyond the paired interval."""
    if (first := comparison.best()) is None:
        return None
    gaps = [comparison.gap(first, other) for other in methods.ATTENTION_TERMS if other != first]
    return first if all(gap.decided and gap.mean > 0 for gap in gaps) else None


def examples(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a setting, from its first run: how long it trained, on how many examples, and how many texts were cut."""
    rows = []
    for comparison in comparisons:
        key = next(iter(comparison.results), None)
        if key is None:
            continue
        spec, data = comparison.specs[key], comparison.results[key].data
        row = {"data": comparison.regime, "task": comparison.task, "longest": spec.max_length}
        row |= {"train": data["train"], "train cut": data["truncated"]}
        row |= {"epochs": spec.epochs, "steps": spec.total_steps, "learning rate": f"{spec.learning_rate:g}"}
        for split in comparison.splits:
            row |= {"evaluated": data[split], "evaluated cut": data[f"{split}_truncated"]}
        rows.append(row)
    return pd.DataFrame(rows)
