"""Notebook 04: Table 4 over encoders and tasks, learning rates, epochs, and Fisher along a run."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from beft_lib import evidence, importance, models, tasks
from beft_lib.chapters.extension import plan as extension
from beft_lib.evidence import Comparison, stats, words
from beft_lib.tuning import methods
from beft_lib.tuning.methods import ATTENTION_TERMS

from ..cells import best_term, context, mark, score_cell


def encoders(comparisons: Sequence[Comparison], paper: Mapping) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table 4: a row an encoder, form of its head, and method; a column a task. And which cells are the best.

    Cells are as in Table 1; a term is the best only if it scores higher than each of the other two, decided.
    """
    rows, best = [], []
    shown = [c for c in comparisons if c.variant in ("", extension.BIAS_HEAD)]
    beside = {model: model for model in paper} | ({} if shown[0].model in paper else {shown[0].model: paper["model"]})
    for model, variant in dict.fromkeys((c.model, c.variant) for c in shown):
        by_task = {c.task: c for c in shown if (c.model, c.variant) == (model, variant)}
        winners = {task: best_term(c) for task, c in by_task.items()}
        for method in ("value", "query", "key", "head_only", "all_biases"):
            row = {
                "encoder": models.title(model) + (", smaller head" if variant else ""),
                "tuned": methods.title(method),
            }
            bold = dict.fromkeys(row, False)
            for task, c in by_task.items():
                name = f"{tasks.title(task)}, {c.metric}"
                theirs = paper[beside[model]].get(method) if model in beside else None
                printed = (
                    f" | {theirs[paper['columns'].index(task)]:.1f}" if theirs and task in paper["columns"] else ""
                )
                row[name] = score_cell(c, method) + (printed if not variant else "")
                bold[name] = winners[task] == method
            rows.append(row)
            best.append(bold)
    return pd.DataFrame(rows).fillna("–"), pd.DataFrame(best).fillna(False).astype(bool)


def sizes(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row an encoder and form of its head: how many scalars b_v has, and how many train beside it."""
    rows = {}
    for c in comparisons:
        for (method, _), result in c.results.items():
            if method == "value" and c.variant in ("", extension.BIAS_HEAD):
                cost = result.cost
                row = {"encoder": models.title(c.model), "head": c.variant or "as in the authors' code"}
                row |= {"outputs": tasks.of_encoder(c.task).num_labels, "b_v": f"{cost['trainable']:,}"}
                row |= {"head's scalars": f"{cost['head']:,}"}
                row["b_v of what trains, %"] = f"{100 * cost['trainable'] / (cost['trainable'] + cost['head']):.1f}"
                rows[c.model, c.variant, row["outputs"]] = row
    return pd.DataFrame(list(rows.values()))


def order_sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """On which tasks of each encoder b_v scores higher or lower than b_q, in words."""
    said = []
    for model in dict.fromkeys(c.model for c in comparisons):
        own = [c for c in comparisons if c.model == model and not c.variant]
        gaps = {c.title: c.gap("value", "query") for c in own if c.learned}
        lost = [c.title for c in own if np.isnan(c.gap("value", "query").mean)]
        idle = [c.title for c in own if not c.learned and c.title not in lost]
        told = [words.clauses(gaps, failed=lost)] + ([f"nothing learned on {', '.join(idle)}"] if idle else [])
        beside = context([c for c in own if c.learned], ("value", "query"))
        said.append(f"{models.title(model)}, b_v against b_q: {'; '.join(filter(None, told))}.{beside}")
    return said


def word_sentences(comparisons: Sequence[Comparison], without: str, with_word: str) -> list[str]:
    """What the word in question adds to WiC for b_v, on each encoder that was run with and without it."""
    said = []
    for model in dict.fromkeys(c.model for c in comparisons):
        by_task = {
            c.task: c for c in comparisons if c.model == model and not c.variant and c.task in (without, with_word)
        }
        if len(by_task) < 2:
            continue
        scores = [by_task[task].score("value") for task in (with_word, without)]
        gain = by_task[without].change(by_task[with_word], "value")
        said.append(
            f"{models.title(model)}: with the word in the input b_v scores {scores[0]}, without it {scores[1]}, a "
            f"difference of {words.told(gain)}."
        )
    return said


# ------------------------------------------------------------------------------------------------ learning rates


def rates(comparisons: Sequence[Comparison], rate_tasks: Sequence[str]) -> pd.DataFrame:
    """A row a task and learning rate: projection scores and places of b_v and b_q, what each scores, and the gaps."""
    rows = []
    for task in rate_tasks:
        for c in over_rates(comparisons, task):
            row = {"task": c.title, "learning rate": f"{c.learning_rate:g}{mark(c)}", "seeds": len(c.scores)}
            for term in ("value", "query"):
                row[f"projection {methods.title(term)} (place)"] = _score_and_place(c, term)
            row["null model b_v"] = f"{c.means('null_model')['value']:.3f}" if c.ranking else "failed"
            row |= {"metric": c.metric} | {f"{methods.title(m)}, %": str(c.score(m)) for m in extension.CONTRASTED}
            row["b_v − b_q"] = str(c.gap("value", "query"))
            row["b_v − all biases"] = str(c.gap("value", "all_biases"))
            rows.append(row)
    return pd.DataFrame(rows)


def _score_and_place(comparison: Comparison, term: str) -> str:
    if not comparison.ranking:
        return "failed"
    score = stats.mean(comparison.importance("projection")[term].dropna().to_numpy()).within(0, 2)
    return f"{score.text(3)} ({comparison.places('projection')[term].place})"


def rate_sentences(comparisons: Sequence[Comparison], rate_tasks: Sequence[str]) -> list[str]:
    """From the lowest to the highest rate: what the score of b_v does, and what its performance does, in words."""
    said = []
    for task in rate_tasks:
        at_rates = [c for c in over_rates(comparisons, task) if c.ranking]
        if len(at_rates) < 2:
            continue
        low, high = at_rates[0], at_rates[-1]
        scores = [c.means("projection")["value"] for c in (low, high)]
        gain = low.change(high, "value")
        said.append(
            f"{low.title}: from learning rate {low.learning_rate:g} to {high.learning_rate:g} the projection score of "
            f"b_v goes from {scores[0]:.3f} to {scores[1]:.3f}, and its performance changes by {words.told(gain)}."
            + context([high], ("value",))
        )
    return said


# ------------------------------------------------------------------------------------------------ epochs, Fisher


def epochs(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row an encoder, learning rate and method: scores after the first, middle and last epoch, and the gain."""
    rows = []
    for c in comparisons:
        for method in extension.CONTRASTED:
            curve = c.curve(method).dropna()
            if curve.empty or c.variant == extension.BIAS_HEAD:
                continue
            half, last = max(1, curve.shape[1] // 2), curve.shape[1]
            gain = stats.mean(c.gains(method))
            row = {"encoder": models.title(c.model), "learning rate": f"{c.learning_rate:g}{mark(c)}"}
            row |= {"tuned": methods.title(method), "seeds": len(curve)}
            for epoch in dict.fromkeys((1, half, last)):
                row[f"epoch {epoch}"] = f"{curve[epoch].mean():.1f}"
            row["second half − first"] = str(gain)
            rows.append(row)
    return pd.DataFrame(rows)


def fisher_along(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a share of the steps: Fisher of b_q, b_k and b_v, their order, and τ of all terms with the start."""
    followed = [c for c in comparisons if any("fisher" in s.scores for r in c.ranking.values() for s in r.trajectory)]
    if not followed:
        return pd.DataFrame()
    c = followed[0]
    start = c.importance("fisher")
    shares = {s.share: {} for r in c.ranking.values() for s in r.trajectory}
    for seed, result in c.ranking.items():
        for s in result.trajectory:
            shares[s.share][seed] = s.scores["fisher"]
    along = {share: pd.DataFrame.from_dict(scores, orient="index") for share, scores in shares.items()}
    rows = [_fisher_row(share, frame, start) for share, frame in ({0.0: start} | along).items()]
    return pd.DataFrame(rows)


def _fisher_row(share: float, now: pd.DataFrame, start: pd.DataFrame) -> dict:
    terms = list(start.columns)
    taus = [kendalltau(now.loc[seed, terms], start.loc[seed, terms]).statistic for seed in now.index]
    order = [r.term for r in importance.rank(now.mean().to_dict(), among=ATTENTION_TERMS)]
    chosen = [evidence.choice(now.loc[seed].to_dict()) for seed in now.index]
    row = {"share of the steps, %": f"{100 * share:g}"}
    row |= {methods.title(term): f"{now[term].mean():.2g}" for term in ATTENTION_TERMS}
    row["order"] = " > ".join(methods.title(term) for term in order)
    row["selects b_v, runs"] = f"{sum(t == 'value' for t in chosen)} of {len(chosen)}"
    row["τ with the start, all terms"] = stats.mean(np.array(taus)).within(-1, 1).text(2)
    return row


def over_rates(comparisons: Sequence[Comparison], task: str) -> list[Comparison]:
    """The comparisons of one task on the first encoder, from the lowest learning rate to the highest."""
    on_task = [c for c in comparisons if c.task == task and c.model == comparisons[0].model]
    return sorted((c for c in on_task if c.variant != extension.BIAS_HEAD), key=lambda c: c.learning_rate)
