"""From stored runs to the tables of the notebooks: what was run, what each method achieves, what is selected."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from beft_lib import evidence, importance, methods, runs, scoreboard, stats, sweep, tasks
from beft_lib.evidence import Comparison
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
    scoreboard.FIXED: "Always b_v",
    scoreboard.CHANCE: "A random choice",
}
SHORT = {
    "projection": "projection",
    "magnitude": "magnitude",
    "fisher": "Fisher",
    "fisher_batch": "Fisher, batch",
    "null_model": "null model",
}
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


def _nothing(comparison: Comparison) -> str:
    """Why an approach selects nothing."""
    if not comparison.ranking:
        return "nothing: no run that tunes all biases ended well"
    return "nothing: its scores are undefined, because these biases are zero before tuning"


def selection_sentence(comparison: Comparison, approach: str) -> str:
    """What an approach selects, in words."""
    chosen = comparison.selected(approach)
    return f"**{TITLES[approach]}** selects {methods.title(chosen) if chosen else _nothing(comparison)}."


def scores_and_places(comparison: Comparison, authors: Mapping[str, float] | None) -> pd.DataFrame:
    """A row for b_q, b_k and b_v: the mean score under each approach, with its place among all bias terms.

    `authors`: the projection ratios of the authors' own run of the same setting, shown beside ours.
    """
    places = {approach: comparison.places(approach) for approach in importance.APPROACHES}
    rows = []
    for term in methods.ATTENTION_TERMS:
        row = {"bias": methods.title(term)}
        for approach in importance.APPROACHES:
            rank = places[approach].get(term)
            row[SHORT[approach]] = f"{rank.score:.2g} ({rank.place} of {len(places[approach])})" if rank else "–"
            if approach == "projection" and authors:
                row["authors' projection"] = f"{authors[term]:.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def achieved_scores(comparison: Comparison, paper: Mapping[str, float] | None) -> pd.DataFrame:
    """A row a method: what it trains besides the head, its score over seeds, and the paper's where it has one."""
    rows = []
    for method in ("value", "query", "key", "all_biases", "head_only", "none"):
        result = next((r for (m, _), r in comparison.results.items() if m == method), None)
        planned = any(m == method for m, _ in comparison.specs)
        if not planned and method not in comparison.scores:
            continue
        row = {"tuned": evidence.title(method, comparison), "scalars": "–", "of the model": "–"}
        if result:
            row["scalars"] = result.cost["trainable"]
            row["of the model"] = f"{100 * result.cost['trainable'] / result.cost['parameters']:.3f} %"
        achieved = comparison.score(method)
        row[f"{comparison.metric} %"] = "failed" if np.isnan(achieved.mean) else str(achieved)
        if paper:
            row["paper, BERT-base %"] = f"{paper[method]:.1f}" if method in paper else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def selections(comparison: Comparison, paper: Mapping) -> pd.DataFrame:
    """A row an approach: the term it selects, in how many seeds, the paper's selection, and what choosing it costs.

    `regret`: the best term's score minus the selected one's, in points (0 for the best itself).
    """
    metric, best = comparison.metric, comparison.best()
    rows = []
    for approach in importance.APPROACHES:
        if (chosen := comparison.selected(approach)) is None:
            rows.append({"approach": TITLES[approach], "selects": _nothing(comparison)})
            continue
        alone = [comparison.selected(approach, seed) for seed in comparison.ranking]
        rows.append(
            {
                "approach": TITLES[approach],
                "selects": methods.title(chosen),
                "in seeds": f"{alone.count(chosen)} of {len(alone)}",
                "paper selects": methods.title(paper["selected"][approach]) if approach in paper["selected"] else "–",
                f"its {metric} %": str(comparison.score(chosen)),
                "regret, points": "0 (the best)" if chosen == best else str(comparison.gap(best, chosen)),
            }
        )
    return pd.DataFrame(rows).fillna("–")


def null_sentence(comparison: Comparison) -> str:
    """How much of the projection scores a random change of the same size explains, in words with numbers."""
    real, null = comparison.means("projection"), comparison.means("null_model")
    if comparison.selected("projection") is None:
        return f"The projection ratio selects {_nothing(comparison)}."
    parts = [f"{methods.title(t)} {real[t]:.3g} against {null[t]:.3g}" for t in methods.ATTENTION_TERMS]
    same = comparison.selected("projection") == comparison.selected("null_model")
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


# ------------------------------------------------------------------------------------- Table 1 and the scoreboard


def downstream(comparisons: Sequence[Comparison], paper: Mapping) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table 1: a row a regime and validation split, with each method's score; and which cells are the best.

    Cells are the mean in percent ± half the 95 % interval over seeds, † on the term that the projection ratio selects,
    the paper's BERT-base number after a bar. A term is the best (the second frame, True) only if it scores higher than
    each of the other two with a paired interval that excludes zero. A split that the source does not have is "not
    available".
    """
    rows, best = [], []
    for comparison in comparisons:
        for validation in tasks.get(comparison.task).validation:
            on = comparison.on(validation.split)
            row = {"data": comparison.regime, "task": validation.title, "metric": comparison.metric}
            row["n"] = comparison.n_train
            bold = dict.fromkeys(row, False)
            there = validation.split in comparison.splits or not comparison.results  # all failed: it was there
            theirs = paper.get(comparison.regime, {})
            place = paper["columns"].index(validation.title) if validation.title in paper["columns"] else None
            winner = _winner(on) if there else None
            for method in ("value", "query", "key", "head_only", "all_biases"):
                name = methods.title(method)
                row[name] = _cell(on, method) if there else "not available"
                if place is not None and method in theirs:
                    row[name] += f" | {theirs[method][place]:.1f}"
                bold[name] = method == winner
            rows.append(row)
            best.append(bold)
    return pd.DataFrame(rows), pd.DataFrame(best)


def _cell(comparison: Comparison, method: str) -> str:
    found = comparison.score(method)
    if np.isnan(found.mean):
        return "failed" if any(m == method for m, _ in comparison.specs) else "–"
    spread = "one seed" if np.isnan(found.low) else f"± {_half(comparison, method):.1f}"
    return f"{found.mean:.1f} {spread}" + ("†" if comparison.selected("projection") == method else "")


def _half(comparison: Comparison, method: str) -> float:
    """Half of Student's interval, before it is cut at the ends of the metric's range."""
    return stats.mean(comparison.scores[method].dropna().to_numpy()).half


def _winner(comparison: Comparison) -> str | None:
    """The term that scores higher than each of the other two beyond the paired interval."""
    if (first := comparison.best()) is None:
        return None
    gaps = [comparison.gap(first, other) for other in methods.ATTENTION_TERMS if other != first]
    return first if all(gap.decided and gap.mean > 0 for gap in gaps) else None


def truncation(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a setting: examples for training and evaluation, and how many of them were cut to the longest allowed."""
    rows = []
    for comparison in comparisons:
        for spec, result in ((comparison.specs[key], result) for key, result in comparison.results.items()):
            data = result.data
            about = {"data": comparison.regime, "task": comparison.task, "longest": spec.max_length}
            about |= {"train": data["train"], "train cut": data["truncated"]}
            about |= {"epochs": spec.epochs, "steps": spec.total_steps, "learning rate": f"{spec.learning_rate:g}"}
            for split in comparison.splits:
                about |= {"evaluated": data[split], "evaluated cut": data[f"{split}_truncated"]}
            rows.append(about)
            break
    return pd.DataFrame(rows)


def scoreboard_table(choices: pd.DataFrame) -> pd.DataFrame:
    """A row a contender: how often it selects the best term, the points it loses, Kendall's τ with the scores."""
    rows = []
    for approach, own in choices.groupby("approach", sort=False):
        hits = scoreboard.average(own.assign(hit=100 * own.hit), "hit").within(0, 100)
        regret, tau = scoreboard.average(own, "regret"), scoreboard.average(own, "tau").within(-1, 1)
        rows.append(
            {
                "selection": TITLES[approach],
                "the best term, % of runs": str(hits),
                "regret, points": str(regret),
                "Kendall's τ": tau.text(2),
            }
        )
    return pd.DataFrame(rows)


def gap_table(gaps: pd.DataFrame) -> pd.DataFrame:
    """A row a task and approach: the gap b_v − b_q by regime, in score and in performance, and whether one follows."""
    rows = []
    follows = scoreboard.following(gaps)
    for (task, approach), own in gaps.groupby(["task", "approach"], sort=False):
        mean = own.groupby("regime", sort=False)[["score_gap", "performance_gap"]].mean()
        tau = stats.mean(follows[(follows.task == task) & (follows.approach == approach)].tau.dropna()).within(-1, 1)
        rows.append(
            {
                "task": task,
                "approach": TITLES[approach],
                "regimes": ", ".join(mean.index),
                "score gap": ", ".join(f"{v:.3g}" for v in mean.score_gap),
                "performance gap, points": ", ".join(f"{v:+.1f}" for v in mean.performance_gap),
                "Kendall's τ": tau.text(2),
            }
        )
    return pd.DataFrame(rows)


PAIRS = (("value", "query"), ("query", "key"), ("value", "head_only"), ("value", "all_biases"))


def improvement(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a regime and pair of methods: the mean gap over tasks, and how probable it is that the first does better.

    The gap's interval is over tasks (over seeds where there is one task). The probability (Agarwal et al., 2021) is
    that of a random pair of seeds on a random one of these tasks, its interval over seeds.
    """
    rows = []
    for regime in dict.fromkeys(c.regime for c in comparisons):
        for first, second in PAIRS:
            own = [c for c in comparisons if c.regime == regime and {first, second} <= set(c.scores)]
            scores = [[c.scores[method].dropna().to_numpy() for c in own] for method in (first, second)]
            differences = [(c.scores[first] - c.scores[second]).dropna() for c in own]
            values = [
                {"task": c.task, "seed": s, "gap": d} for c, gaps in zip(own, differences) for s, d in gaps.items()
            ]
            gap = scoreboard.average(pd.DataFrame(values, columns=["task", "seed", "gap"]), "gap")
            share = stats.probability_of_improvement(*scores)
            spread = "" if np.isnan(share.low) else f" [{100 * share.low:.0f}, {100 * share.high:.0f}]"
            rows.append(
                {
                    "data": regime,
                    "tasks": len(own),
                    "compared": f"{methods.title(first)} − {methods.title(second)}",
                    "mean gap, points": str(gap),
                    "decided for": sum((g := c.gap(first, second)).decided and g.mean > 0 for c in own),
                    "decided against": sum((g := c.gap(first, second)).decided and g.mean < 0 for c in own),
                    "the first does better, %": f"{100 * share.mean:.0f}{spread}" if own else "–",
                }
            )
    return pd.DataFrame(rows)


def gap_sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """The gap between b_v and b_q in each setting, in words."""
    said = []
    for comparison in comparisons:
        gap = comparison.gap("value", "query")
        if np.isnan(gap.mean):
            continue
        verdict = "cannot be told apart" if not gap.decided else "b_v is better" if gap.mean > 0 else "b_q is better"
        said.append(
            f"{comparison.title}, {comparison.regime} data (n = {comparison.n_train}): {verdict}, {gap} points."
        )
    return said
