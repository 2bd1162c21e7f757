"""`beft_lib.select`: which bias of a model to tune for a task, with the controls that tell whether to believe it.

`reliability.csv` holds how often an early choice was the one at the end of the run, as measured on the runs of the
published report (`measure`).
"""

import math
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import pandas as pd

from beft_lib import evidence, models, tasks
from beft_lib.chapters import cells
from beft_lib.errors import UserError
from beft_lib.evidence import early_choice, selection_quality
from beft_lib.runs import RunSpec
from beft_lib.sweep import sweep


def select(
    model: str,
    task: str | tasks.Adopted,
    source: str = "bundled",
    seeds: Sequence[int] = (0,),
    share: float = 1.0,
    **settings,
):
    """Rank b_q, b_k and b_v by the projection ratio after tuning all biases; the first row is the one to tune (§2.1).

    Returns a DataFrame with a row a term, the best first: its projection score, what a change in a random direction of
    the same size would score (`null_model`), the Magnitude and Fisher scores for comparison, and its place among
    all terms. Means over layers and seeds; one run a seed, cached in the run store. A score close to its null says how
    far the bias moved for its size, not where to.

    `share`: tune for this share of the run's steps only (0 < share ≤ 1). The cheap version: in the published runs the
    choice was known long before the end; `frame.attrs["reliability"]` says how often, for the nearest measured share
    below.

    `model`: a name of `models.CATALOGUE`, `hub:ORG/NAME` or a folder; `task`, `source`: see `tasks`; data of your own
    are a task once `tasks.adopt` has read them, and have a source already; `settings`: other fields of `RunSpec`
    (n_train, epochs, learning_rate, ...), held to `runs.RANKING_RECIPE`.
    """
    if not 0 < share <= 1:
        raise UserError(f"share: {share!r}; valid: above 0 (no step) up to 1 (the whole run), e.g. 0.1")
    if isinstance(task, tasks.Adopted):
        settings = {"n_train": task.train} | settings
        task, source = task.task, task.source
    specs = [_spec(share, model=model, task=task, source=source, seed=seed, **settings) for seed in seeds]
    sweep(specs)
    comparison = evidence.compare_one(specs)
    if comparison.selected("projection") is None:
        raise UserError(
            f"select: the projection ratio is not defined for {model!r}: its b_q, b_k and b_v were zero before tuning "
            "(added, or untrained), and nothing can be projected onto zero. Tune b_v, as the paper does, and compare "
            "its score with that of b_q and b_k"
        )
    frame = cells.ranking(comparison)[["projection", "null_model", "magnitude", "fisher", "place", "of"]]
    frame.attrs["reliability"] = reliability(share)
    return frame


def _spec(share: float, **fields) -> RunSpec:
    whole = RunSpec(method="all_biases", ranking=True, **fields)
    steps = math.ceil(share * whole.total_steps)
    return whole if steps == whole.total_steps else whole.but(steps=steps)


def reliability(share: float) -> str:
    """How often a choice after this share of the steps was the one at the end, in words, from published runs."""
    measured = _measured()
    if share >= 1:
        return "The whole run: the paper's own selection."
    if share < measured.share.min():
        return f"Not measured: shares from {100 * measured.share.min():g} % of the steps on were."
    row = measured[measured.share <= share].iloc[-1]
    return (
        f"After {100 * row.share:g} % of the steps the choice was the one at the end in {row.agrees:.0f} % "
        f"[{row.low:.0f}, {row.high:.0f}] of {row.runs:.0f} published runs ({row.model}, {row.tasks:.0f} tasks), and "
        f"lost {row.regret:.1f} points against the best term."
    )


@cache
def _measured():
    with files("beft_lib.chapters.quickstart").joinpath("reliability.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def measure(comparisons: Sequence):
    """The table of `reliability.csv`, from the `evidence.Comparison`s of published runs: percent, and points."""
    choices = early_choice.along(comparisons)
    choices = choices[choices.approach == "projection"]
    agreement = early_choice.agreement(choices, "projection")
    rows = [
        {
            "share": share,
            "agrees": estimate.mean,
            "low": estimate.low,
            "high": estimate.high,
            "regret": selection_quality.average(choices[choices.share == share], "regret").mean,
            "runs": int((choices.share == share).sum()),
            "tasks": choices.task.nunique(),
            "model": models.title(comparisons[0].model),
        }
        for share, estimate in agreement.items()
    ]
    return pd.DataFrame(rows).round(2)
