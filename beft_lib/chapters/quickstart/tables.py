"""Notebook 00 and the command line: the ranking, the scores and the confusions on one's own data."""

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from beft_lib import runs, tasks
from beft_lib.evidence import Comparison
from beft_lib.tuning import methods

from .. import cells
from ..names import SHORT


def ranking(comparison: Comparison) -> pd.DataFrame:
    """A row a term, the best first: its projection score, its null model's, Magnitude, Fisher, and place among all.

    Means over layers and seeds. Empty where the projection ratio is not defined.
    """
    if comparison.selected("projection") is None:
        return pd.DataFrame()
    rows = [
        {"bias": methods.title(term), "place": f"{row['place']:.0f} of {row['of']:.0f}"}
        | {SHORT[approach]: f"{row[approach]:.3g}" for approach in ("projection", "null_model", "magnitude", "fisher")}
        for term, row in cells.ranking(comparison).iterrows()
    ]
    return pd.DataFrame(rows)


def scores(comparison: Comparison, term: str) -> pd.DataFrame:
    """A row a method: scalars it trains, its scores over seeds, and the tuned term's paired difference to it.

    Classes have accuracy and macro-F1, the mean over classes of F1, the first of them the one that is compared.
    """
    rows, others = [], [name for name in tasks.get(comparison.task).metrics if name != comparison.metric]
    named = [method for method in comparison.planned if method not in (term, comparison.control, "all_biases")]
    for method in dict.fromkeys((comparison.control, term, *named, "all_biases")):
        result = comparison.result_of(method)
        cost = result.cost if result else {}
        rows.append(
            {
                "tuned": methods.title(method),
                "scalars": f"{cost['trainable']:,}" if cost else "failed",
                "in the head": f"{cost['head']:,}" if cost else "–",
                f"{title(comparison.metric)} %": str(comparison.score(method)),
                **{f"{title(name)} %": str(comparison.by(name).score(method)) for name in others},
                f"{methods.title(term)} minus it, points": "–" if method == term else str(comparison.gap(term, method)),
            }
        )
    return pd.DataFrame(rows)


def title(metric: str) -> str:
    """How a column calls a metric."""
    return {"macro_f1": "macro-F1"}.get(metric, metric)


def by_class(counts: pd.DataFrame) -> pd.DataFrame:
    """From a confusion: of each class its recall, precision and F1 in percent, and their means; empty if that is."""
    if counts.empty:
        return counts
    table = counts.to_numpy()
    right, of, taken = np.diag(table), table.sum(1), table.sum(0)
    shares = {
        "recall %": 100 * right / np.maximum(of, 1),
        "precision %": 100 * right / np.maximum(taken, 1),
        "F1 %": 200 * right / np.maximum(of + taken, 1),
    }
    frame = pd.DataFrame({"examples": of, **shares}, index=counts.index)
    known = frame[of > 0]  # a class without examples has no recall
    means = pd.DataFrame({"examples": [of.sum()], **{name: [known[name].mean()] for name in shares}}, index=["mean"])
    return pd.concat([frame, means]).round(1).rename_axis("class")


def confusion(comparison: Comparison, term: str) -> pd.DataFrame:
    """How often examples of each class (rows) were taken for each class (columns), summed over the runs of a term.

    Empty for a regression.
    """
    task = tasks.get(comparison.task)
    if not task.labels:
        return pd.DataFrame()
    counts = np.zeros((len(task.labels),) * 2, dtype=int)
    for (method, _), spec in comparison.specs.items():
        if method == term and (method, spec.seed) in comparison.results:
            arrays = runs.predictions(spec)
            predicted = _predicted(arrays, comparison)
            counts += confusion_matrix(arrays[f"{comparison.split}/labels"], predicted, labels=range(len(task.labels)))
    names = pd.Index(task.labels, name="class")
    return pd.DataFrame(counts, index=names, columns=[f"taken for {label}" for label in task.labels])


def _predicted(arrays, comparison: Comparison) -> np.ndarray:
    if comparison.prompts:
        return np.nanargmax(arrays[f"{comparison.split}/scores"], axis=-1)
    return arrays[f"{comparison.split}/logits"].argmax(-1)
