"""`beft_lib.select`: which bias of a model to tune for a task, with the controls that tell whether to believe it."""

from collections.abc import Sequence

from beft_lib import importance, methods
from beft_lib.runs import RunSpec


def select(model: str, task: str, source: str = "bundled", seeds: Sequence[int] = (0,), **settings):
    """Rank b_q, b_k and b_v by the projection ratio after tuning all biases; the first row is the one to tune (§2.1).

    Returns a DataFrame with a row a term, the best first: its projection score, what a change in a random direction of
    the same size would score (`null_model`), the Magnitude and Fisher scores for comparison, and its place among
    all terms.
    Means over layers and seeds; one run a seed, cached in the run store. A score close to its null says how far the
    bias moved for its size, not where to.

    `model`: a name of `models.CATALOGUE`, `hub:ORG/NAME` or a folder; `task`, `source`: see `tasks`; `settings`:
    other fields of `RunSpec` (n_train, epochs, learning_rate, ...), held to `runs.RANKING_RECIPE`.
    """
    import pandas as pd

    from beft_lib import evidence
    from beft_lib.sweep import sweep

    specs = [
        RunSpec(model=model, task=task, source=source, method="all_biases", ranking=True, seed=seed, **settings)
        for seed in seeds
    ]
    sweep(specs)
    comparison = evidence.only(specs)
    places = comparison.places("projection")
    order = sorted(methods.ATTENTION_TERMS, key=lambda term: places[term].place)
    frame = pd.DataFrame({approach: comparison.means(approach) for approach in importance.APPROACHES})
    frame = frame.loc[order, ["projection", "null_model", "magnitude", "fisher"]]
    return frame.assign(place=[places[term].place for term in order], of=len(places)).rename_axis("term")
