"""Stored runs as long frames, a row a run and metric or a row a run, approach, term and layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from beft_lib import importance, tasks
from beft_lib.importance import Score
from beft_lib.runs import RunResult, RunSpec, store
from beft_lib.tuning import methods

COLUMNS = (
    "run_id",
    "model",
    "task",
    "source",
    "regime",
    "n_train",
    "method",
    "seed",
    "learning_rate",
    "epochs",
    "steps",
    "metric",
    "value",
    "stderr",
    "n_eval",
    "constant",
    "trainable",
    "trainable_pct",
    "train_seconds",
    "status",
)
IMPORTANCE_COLUMNS = (
    "run_id",
    "model",
    "task",
    "source",
    "regime",
    "n_train",
    "seed",
    "approach",
    "term",
    "layer",
    "score",
)
MEAN = "mean"  # the `layer` of a term's average


def results(specs: Sequence[RunSpec]):
    """The stored runs of the specs as a DataFrame of `COLUMNS`, a row a run and metric; unknown runs are left out."""
    rows = []
    for spec in dict.fromkeys(specs):
        if (result := store.trusted(spec)) is not None:
            rows += _rows(result, spec)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def sorted_results(specs: Sequence[RunSpec]) -> pd.DataFrame:
    """`sweep.results`, sorted so that the file is the same however the runs were ordered."""
    return results(specs).sort_values(["model", "task", "method", "seed", "run_id", "metric"], ignore_index=True)


def importance_scores(specs: Sequence[RunSpec]) -> pd.DataFrame:
    """Every importance score of the ranking runs among the specs, a row a layer, and one a term with layer "mean".

    In this file, and in importance.csv, layers count from 0 as the model's own modules do, "-" outside the layers;
    what a reader is shown counts from 1.
    """
    rows = []
    for spec in dict.fromkeys(specs):
        if not spec.ranking or (result := store.trusted(spec)) is None or not result.done:
            continue
        about = {name: result.spec[name] for name in ("model", "task", "source", "regime", "n_train", "seed")}
        about["run_id"] = result.run_id
        scores = scores_of(result)
        for approach in importance.APPROACHES:
            own = [score for score in scores if score.approach == approach]
            rows += [
                about
                | {
                    "approach": approach,
                    "term": s.term,
                    "layer": "-" if s.layer is None else str(s.layer),
                    "score": s.score,
                }
                for s in own
            ]
            rows += [
                about | {"approach": approach, "term": term, "layer": MEAN, "score": value}
                for term, value in importance.means(own).items()
            ]
    return pd.DataFrame(rows, columns=list(IMPORTANCE_COLUMNS))


def scores_of(result: RunResult) -> list[Score]:
    """A run's importance scores, one a layer; nan where undefined."""
    return [
        Score(entry.approach, entry.term, layer, np.nan if score is None else score)
        for entry in result.importance
        for layer, score in zip(entry.layers, entry.scores, strict=True)
    ]


def constant(arrays: Mapping[str, np.ndarray], split: str) -> float:
    """The share of the evaluation examples that get the commonest prediction, from a run's `predictions`.

    1 where a run predicts the same for every example, whatever it says of its score. Of options that are chosen among,
    the place counts. nan where texts were written.
    """
    if (logits := arrays.get(f"{split}/logits")) is not None:
        predicted = logits[:, 0] if logits.shape[1] == 1 else logits.argmax(1)
    elif (scores := arrays.get(f"{split}/scores")) is not None:
        predicted = np.nanargmax(scores, axis=1)
    else:
        return np.nan
    return float(np.unique(predicted, return_counts=True)[1].max() / len(predicted))


def _rows(result: RunResult, made: RunSpec) -> list[dict[str, Any]]:
    spec, cost = result.spec, result.cost
    row = {name: spec[name] for name in ("model", "task", "source", "regime", "n_train", "method", "seed")}
    trained = not methods.is_seedless(made.method) and made.parts is None and made.shots is None
    if trained:
        row |= {"learning_rate": made.learning_rate, "epochs": made.epochs, "steps": made.steps or made.total_steps}
    row |= {
        "run_id": result.run_id,
        "trainable": cost.get("trainable"),
        "status": result.status,
        "trainable_pct": None if result.lost else 100 * cost["trainable"] / cost["parameters"],
        "train_seconds": cost.get("train_seconds"),
    }
    if not result.done:
        return [row | {"metric": tasks.get(spec["task"]).metric}]
    several = len({value.split for value in result.metrics}) > 1
    arrays = store.predictions(result.run_id)
    shares = {split: constant(arrays, split) for split in dict.fromkeys(v.split for v in result.metrics)}
    return [
        row
        | {
            "metric": f"{v.metric} ({v.split})" if several else v.metric,
            "value": v.value,
            "stderr": v.stderr,
            "n_eval": v.n,
            "constant": shares[v.split],
        }
        for v in result.metrics
    ]
