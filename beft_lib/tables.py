"""From stored runs to the numbers of a table: importance scores, scores over seeds, and the precision study."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from beft_lib import importance, methods, metrics, runs, stats, sweep, tasks
from beft_lib.importance import Score
from beft_lib.runs import RunSpec, store

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
TITLES = {
    "projection": "Projection ratio (BEFT)",
    "magnitude": "Magnitude (ℓ1)",
    "fisher": "Fisher (per example)",
    "fisher_batch": "Fisher (authors' batch mean)",
    "null_model": "Null model (random direction)",
}
SHORT = {
    "projection": "projection",
    "magnitude": "magnitude",
    "fisher": "Fisher",
    "fisher_batch": "Fisher, batch",
    "null_model": "null model",
}
UNDEFINED = "nothing: its scores are undefined, because these biases are zero before tuning"
SIGNED = (*metrics.CORRELATIONS, "matthews")  # metrics from −1 to 1; the others are shares
MEAN = "mean"  # the `layer` of a term's average


def importance_scores(specs: Sequence[RunSpec]) -> pd.DataFrame:
    """Every importance score of the ranking runs among the specs, a row a layer, and one a term with layer "mean"."""
    rows = []
    for spec in dict.fromkeys(specs):
        if not spec.ranking or (result := store.trusted(spec)) is None or not result.done:
            continue
        about = {name: result.spec[name] for name in ("model", "task", "source", "regime", "n_train", "seed")}
        about["run_id"] = result.run_id
        scores = _scores(result)
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


def _scores(result: runs.RunResult) -> list[Score]:
    return [
        Score(entry.approach, entry.term, layer, np.nan if score is None else score)
        for entry in result.importance
        for layer, score in zip(entry.layers, entry.scores, strict=True)
    ]


def term_means(scores: pd.DataFrame, approach: str) -> dict[str, float]:
    """A term's score under one approach, averaged over layers and seeds, for `importance.rank`."""
    own = scores[(scores.approach == approach) & (scores.layer == MEAN)]
    return own.groupby("term", sort=False).score.mean().to_dict()


def selected(scores: pd.DataFrame, approach: str) -> str | None:
    """The target term: the best of b_q, b_k, b_v by the mean score over seeds; None if no score is defined."""
    best = importance.rank(term_means(scores, approach), among=methods.ATTENTION_TERMS)[0]
    return None if np.isnan(best.score) else best.term


def selection_sentence(scores: pd.DataFrame, approach: str) -> str:
    """What an approach selects, in words."""
    chosen = selected(scores, approach)
    return f"**{TITLES[approach]}** selects {methods.title(chosen) if chosen else UNDEFINED}."


def score_by_method(frame: pd.DataFrame, metric: str) -> dict[str, stats.Estimate]:
    """Mean and interval over seeds of each method, in percent, from a frame of `sweep.COLUMNS`.

    An interval ends where the metric's values do: few seeds can put Student's t beyond 100 %.
    """
    own, lowest = _by_seed(frame, metric), -100.0 if metric.split()[0] in SIGNED else 0.0
    found = {method: stats.mean(own[method].dropna().to_numpy()) for method in own}
    return {
        method: e._replace(low=np.maximum(e.low, lowest), high=np.minimum(e.high, 100.0)) for method, e in found.items()
    }


def difference(frame: pd.DataFrame, metric: str, first: str, second: str) -> stats.Estimate:
    """The paired difference first − second between two methods over the seeds they share, in points."""
    own = _by_seed(frame, metric)
    if first not in own or second not in own:
        return stats.mean([])
    both = own[[first, second]].dropna()
    return stats.paired(both[first].to_numpy(), both[second].to_numpy())


def _by_seed(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Scores in percent, (seeds, methods). Raises `ValueError` if a method has two runs of one seed: other recipes."""
    own = frame[frame.metric == metric].dropna(subset=["value"])
    return 100 * own.pivot(index="seed", columns="method", values="value")


def scores_and_places(scores: pd.DataFrame, authors: Mapping[str, float] | None) -> pd.DataFrame:
    """A row for b_q, b_k and b_v: the mean score under each approach, with its place among all bias terms.

    `authors`: the projection ratios of the authors' own run of the same setting, shown beside ours.
    """
    places = {
        approach: {rank.term: rank for rank in importance.rank(term_means(scores, approach))}
        for approach in importance.APPROACHES
    }
    rows = []
    for term in methods.ATTENTION_TERMS:
        row = {"bias": methods.title(term)}
        for approach in importance.APPROACHES:
            rank = places[approach][term]
            row[SHORT[approach]] = f"{rank.score:.2g} ({rank.place} of {len(places[approach])})"
            if approach == "projection" and authors:
                row["authors' projection"] = f"{authors[term]:.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def achieved_scores(frame: pd.DataFrame, metric: str, paper: Mapping[str, float] | None) -> pd.DataFrame:
    """A row a method: what it trains besides the head, its score over seeds, and the paper's where it has one."""
    achieved, rows = score_by_method(frame, metric), []
    for method in ("value", "query", "key", "all_biases", "head_only", "none"):
        if method in set(frame.method):
            run = frame[frame.method == method].iloc[0]
            row = {
                "tuned": methods.title(method),
                "scalars": run.trainable,
                "of the model": f"{run.trainable_pct:.3f} %",
            }
            row[f"{metric} %"] = str(achieved.get(method, "failed"))
            if paper:
                row["paper, BERT-base %"] = f"{paper[method]:.1f}" if method in paper else "–"
            rows.append(row)
    return pd.DataFrame(rows)


def selections(plan, frame: pd.DataFrame, scores: pd.DataFrame, paper: dict) -> pd.DataFrame:
    """A row an approach: the term it selects, in how many seeds, the paper's selection, and what choosing it costs.

    `regret`: the best term's score minus the selected one's, paired over seeds, in points (0 for the best itself).
    """
    metric = tasks.get(plan.ranking[0].task).metric
    achieved = {t: e for t, e in score_by_method(frame, metric).items() if t in methods.ATTENTION_TERMS}
    best = max(achieved, key=lambda term: achieved[term].mean, default=None)
    rows = []
    for approach in importance.APPROACHES:
        if (chosen := selected(scores, approach)) is None:
            rows.append({"approach": TITLES[approach], "selects": UNDEFINED})
            continue
        alone = [selected(own, approach) for _, own in scores.groupby("seed")]
        regret = "0 (the best)" if chosen == best else str(difference(frame, metric, best, chosen))
        rows.append(
            {
                "approach": TITLES[approach],
                "selects": methods.title(chosen),
                "in seeds": f"{alone.count(chosen)} of {len(alone)}",
                "paper selects": methods.title(paper["selected"][approach]) if approach in paper["selected"] else "–",
                f"its {metric} %": str(achieved.get(chosen, "failed")),
                "regret, points": regret,
            }
        )
    return pd.DataFrame(rows).fillna("–")


def null_sentence(scores: pd.DataFrame) -> str:
    """How much of the projection scores a random change of the same size explains, in words with numbers."""
    real, null = term_means(scores, "projection"), term_means(scores, "null_model")
    if selected(scores, "projection") is None:
        return f"The projection ratio selects {UNDEFINED}."
    parts = [f"{methods.title(t)} {real[t]:.3g} against {null[t]:.3g}" for t in methods.ATTENTION_TERMS]
    same = selected(scores, "projection") == selected(scores, "null_model")
    verdict = (
        "the null model selects the same term, so here the size of the change relative to the bias decides, not its "
        "direction"
        if same
        else "the null model selects another term, so the direction of the change decides"
    )
    return f"Projection score against its null model: {', '.join(parts)}; {verdict}."


def precision_study(specs: Sequence[RunSpec]) -> pd.DataFrame:
    """A row a precision and eps: projection scores of q, k, v, which term they would select, and the score achieved."""
    rows = []
    for spec in specs:
        result = runs.stored(spec)
        row = {"precision": spec.precision, "eps": f"{spec.eps:g}"}
        if result.done:
            means = importance.means(s for s in _scores(result) if s.approach == "projection")
            row |= {methods.title(term): f"{means[term]:.4f}" for term in methods.ATTENTION_TERMS}
            row["would select"] = methods.title(importance.rank(means, among=methods.ATTENTION_TERMS)[0].term)
            row["score %"] = f"{100 * result.metrics[0].value:.1f} ± {196 * result.metrics[0].stderr:.1f}"
        else:
            row["would select"] = f"failed: {result.reason}"
        rows.append(row)
    return pd.DataFrame(rows)


def results(specs: Sequence[RunSpec]) -> pd.DataFrame:
    """`sweep.results`, sorted so that the file is the same however the runs were ordered."""
    return sweep.results(specs).sort_values(["model", "task", "method", "seed", "run_id", "metric"], ignore_index=True)
