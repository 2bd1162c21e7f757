"""Which examples a run is trained and evaluated on."""

from typing import TypeVar

import numpy as np

from beft_lib import tasks
from beft_lib.runs.spec import RunSpec

Pool = TypeVar("Pool", tasks.Examples, tasks.Prompts)  # examples of one form, all splits alike


def training_set(pool: Pool, spec: RunSpec) -> Pool:
    """The run's training examples: `n_train` of the pool without replacement, in an order drawn by the seed.

    What is held out for development is no part of them, whatever the seed.
    """
    spec.check_size(len(pool))
    rows = np.arange(len(pool))
    if spec.evaluation == "development":
        rows = np.setdiff1d(rows, _development_rows(len(pool), spec.n_eval))
    return pool.take(np.random.default_rng([spec.seed, 2]).permutation(rows)[: spec.n_train])


def evaluation_sets(task: tasks.Task | tasks.PromptTask, pool: Pool, spec: RunSpec) -> dict[str, Pool]:
    """What the run is evaluated on, by split: the same examples in every run with the same `n_eval`.

    Every validation split that the source has, or `n_eval` examples of each that has more; for development, `n_eval`
    examples of the train split.
    """
    if spec.evaluation == "development":
        return {"development": pool.take(_development_rows(len(pool), spec.n_eval))}
    available, sets = tasks.sizes(task, spec.source), {}
    for split in (validation.split for validation in task.validation):
        if split in available:
            examples = tasks.load(task, split, spec.source)
            assert isinstance(examples, type(pool)), "the splits of a task are of one form"
            if spec.n_eval is not None and spec.n_eval < len(examples):
                rows = np.random.default_rng(4).permutation(len(examples))[: spec.n_eval]
                examples = examples.take(np.sort(rows))
            sets[split] = examples
    return sets


def _development_rows(available: int, size: int | None) -> np.ndarray:
    return np.sort(np.random.default_rng(3).permutation(available)[:size])
