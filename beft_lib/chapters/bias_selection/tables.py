"""Notebook 01: which term each approach selects, what each method achieves, and what precision does to a ranking."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from beft_lib import evidence, importance
from beft_lib.evidence import Comparison, learning, stats
from beft_lib.tuning import methods

from .. import cells
from ..names import SHORT, TITLES


def _nothing(comparison: Comparison) -> str:
    """Why an approach selects nothing."""
    if not comparison.ranking:
        return "nothing: no run that tunes all biases ended well"
    return "nothing: its scores are undefined, because these biases are zero before tuning"


def selection_sentence(comparison: Comparison, approach: str) -> str:
    """What an approach selects, in words."""
    chosen = comparison.selected(approach)
    return f"**{TITLES[approach]}** selects {methods.title(chosen) if chosen else _nothing(comparison)}."


def bias_terms(comparison: Comparison) -> str:
    """Which bias terms a place is one of, by name, and which of them lie outside the layers; for a caption."""
    entries = [e for result in comparison.ranking.values() for e in result.importance if e.approach == "projection"]
    terms = {e.term: [layer for layer in e.layers if layer is not None] for e in entries}
    if not terms:
        return ""
    order = sorted(terms, key=lambda term: term not in methods.ATTENTION_TERMS)
    apart = [term for term in order if not terms[term]]
    said = f" The {len(order)} bias terms: {', '.join(map(methods.title, order))}."
    return said + (f" Outside the layers, and in no row of the heat maps: {', '.join(apart)}." if apart else "")


def scores_and_places(comparison: Comparison, authors: Mapping[str, float] | None) -> pd.DataFrame:
    """A row for b_q, b_k and b_v: the mean score under each approach, with its place among all bias terms.

    `authors`: the projection ratios of the authors' own run of the same setting, shown beside ours.
    """
    ranked = {approach: cells.ranking(comparison, approach) for approach in importance.APPROACHES}
    rows = []
    for term in methods.ATTENTION_TERMS:
        row = {"bias": methods.title(term)}
        for approach, frame in ranked.items():
            row[SHORT[approach]] = "–"
            if term in frame.index:
                row[SHORT[approach]] = (
                    f"{stats.significant(frame[approach][term])} ({frame.place[term]} of {frame.of[term]})"
                )
            if approach == "projection" and authors:
                row["authors' projection"] = f"{authors[term]:.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def achieved_scores(comparison: Comparison, paper: Mapping[str, float] | None) -> pd.DataFrame:
    """A row a method: what it trains besides the head, its score over seeds, and the paper's where it has one."""
    rows = []
    for method in ("value", "query", "key", "all_biases", "head_only", "none"):
        result = comparison.result_of(method)
        if method not in comparison.planned and method not in comparison.scores:
            continue
        row = {"tuned": evidence.title(method, comparison), "scalars": "–", "of the model": "–"}
        if result:
            row["scalars"] = result.cost["trainable"]
            row["of the model"] = f"{100 * result.cost['trainable'] / result.cost['parameters']:.3f} %"
        achieved = comparison.score(method)
        row[f"{comparison.metric} %"] = "failed" if np.isnan(achieved.mean) else f"{achieved}{cells.mark(comparison)}"
        if learning.beside_accuracy(comparison):
            row["accuracy %"] = stats.number(comparison.by(learning.ACCURACY).score(method).mean)
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
                "regret, points": "0 (the best)" if chosen == best else _gap(comparison, best, chosen),
            }
        )
    return pd.DataFrame(rows).fillna("–")


def _gap(comparison: Comparison, best: str | None, chosen: str) -> str:
    return "–" if best is None else str(comparison.gap(best, chosen))


def null_sentence(comparison: Comparison) -> str:
    """How much of the projection scores a random change of the same size explains, in words with numbers."""
    real, null = comparison.means("projection"), comparison.means("null_model")
    if comparison.selected("projection") is None:
        return f"The projection ratio selects {_nothing(comparison)}."
    shown = stats.significant
    parts = [f"{methods.title(t)} {shown(real[t], 3)} against {shown(null[t], 3)}" for t in methods.ATTENTION_TERMS]
    same = comparison.selected("projection") == comparison.selected("null_model")
    verdict = (
        "the null model selects the same term, so here the size of the change relative to the bias decides, not its "
        "direction"
        if same
        else "the null model selects another term, so the direction of the change decides"
    )
    return f"Projection score against its null model: {', '.join(parts)}; {verdict}."
