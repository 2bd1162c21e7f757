"""Notebook 05: Table 5 over decoder tasks, b_k against the untuned model, and what in-context prompts lost."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from beft_lib import evidence, models, runs, tasks
from beft_lib.chapters.autoregressive import plan as autoregressive
from beft_lib.evidence import Comparison, learning, stats, words
from beft_lib.tuning import methods

from .. import names
from ..cells import best_term, mark, score_cell

# By precision: how much of a score, and how many percent of the answers, may change because the same thing is computed
# in another order, or of rounded numbers.
ROUNDING = {"fp32": (1e-4, 0.0), "bf16": (5e-2, 5.0)}
PAPER_MODEL = "opt-1.3b"  # whose numbers stand beside those of a model that the paper does not have


def table5(comparisons: Sequence[Comparison], paper: Mapping) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table 5 of one model: a row a method, a column a task; and which cells are the best of b_v, b_q and b_k.

    Cells are the mean in percent ± half the 95 % interval over seeds, ‡ over examples where no seed plays a part, and
    after a bar the paper's number. A term is the best only if it scores decidedly higher than each of the other two.
    """
    model = comparisons[0].model
    theirs = paper[model if model in paper else PAPER_MODEL]
    winners = {c: best_term(c) for c in comparisons}
    rows, best = [], []
    for method in autoregressive.METHODS:
        having = [c for c in comparisons if method in c.planned]
        if not having:
            continue
        cost = next((result.cost for c in having if (result := c.result_of(method))), None)
        row = {"method": names.method(method), "scalars": f"{cost['trainable']:,}" if cost else "–"}
        row["share, %"] = f"{100 * cost['trainable'] / cost['parameters']:.3g}" if cost else "–"
        if method in theirs["share"]:
            row["share, %"] += f" | {theirs['share'][method]:g}"
        bold = dict.fromkeys(row, False)
        for c in comparisons:
            name = f"{c.title}, {c.metric.removeprefix('squad_').removeprefix('drop_')}"
            row[name] = _cell(c, method)
            printed = theirs.get(method)
            place = paper["columns"].index(_official(c.task)) if _official(c.task) in paper["columns"] else None
            if printed and place is not None:
                row[name] += f" | {printed[place]:.1f}"
            bold[name] = winners[c] == method
        rows.append(row)
        best.append(bold)
    return pd.DataFrame(rows).fillna("–"), pd.DataFrame(best).fillna(False).astype(bool)


def _official(task: str) -> str:
    """The task that a variant with short passages is a part of."""
    return task.removesuffix("-short")


def _cell(comparison: Comparison, method: str) -> str:
    result = comparison.result_of(method)
    if not methods.is_seedless(method) or result is None:
        return score_cell(comparison, method)
    value = result.metrics[0]
    return f"{100 * value.value:.1f} ± {196 * value.stderr:.1f}‡{mark(comparison)}"


def settings(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a task: how it is trained, on how many examples, at which rate, and how many prompts were cut."""
    rows = []
    for c in comparisons:
        runs_of_value = [key for key, spec in c.specs.items() if key in c.results and spec.method == "value"]
        if not runs_of_value:
            continue
        spec, result = c.specs[runs_of_value[0]], c.results[runs_of_value[0]]
        task = tasks.get(c.task)
        assert isinstance(task, tasks.PromptTask), f"{c.task} is no decoder's task"
        row = {"task": c.title, "answers": "options" if task.kind == "options" else "text"}
        row |= {"loss": "over options" if task.objective == "options" else "of the answer", "seeds": len(runs_of_value)}
        row |= {"train": result.data["train"], "epochs": spec.epochs, "steps": spec.total_steps}
        row |= {"learning rate": f"{spec.learning_rate:g}", "train cut": result.data["truncated"]}
        row |= {"evaluated": result.data[c.split], "evaluated cut": result.data[f"{c.split}_truncated"]}
        rows.append(row)
    return pd.DataFrame(rows)


# ------------------------------------------------------------------------------------------ b_k, as an instrument


def key_against_untuned(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a task: how far tuning b_k moved the model from the untuned one, over seeds and evaluation examples.

    `answers that changed`: examples whose points differ, in percent. `largest change`: of any option's score, the mean
    log-probability of its tokens.
    """
    rows = []
    for c in comparisons:
        arrays = {key: runs.predictions(c.specs[key]) for key in c.results if key[0] in ("key", "zero_shot")}
        pairs = [
            (arrays["key", s], arrays["zero_shot", s]) for m, s in arrays if m == "key" and ("zero_shot", s) in arrays
        ]
        if not pairs:
            continue
        points, scores = f"{c.split}/points", f"{c.split}/scores"
        changed = np.mean([(tuned[points][:, 0] != bare[points][:, 0]).mean() for tuned, bare in pairs])
        row = {"task": c.title, "b_k − zero-shot, points": str(c.gap("key", "zero_shot"))}
        row["answers that changed, %"] = f"{100 * changed:.1f}"
        moved = [np.nanmax(np.abs(tuned[scores] - bare[scores])) for tuned, bare in pairs if scores in bare]
        row["largest change of a score"] = stats.significant(max(moved)) if moved else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def key_sentence(comparisons: Sequence[Comparison]) -> str:
    """Whether b_k is inert in this model, as its positions say it must be, in words."""
    frame, model = key_against_untuned(comparisons), comparisons[0].model
    if frame.empty:
        return "b_k and zero-shot were not both run."
    shifts = [v.replace("−", "-") for v in frame["largest change of a score"] if v != "–"]
    moved = max(map(float, shifts), default=0.0)
    changed = max(map(float, frame["answers that changed, %"]))
    told = f"changes scores by at most {stats.significant(moved)}, and up to {changed:.1f} % of a task's answers"
    precision = next(iter(comparisons[0].specs.values())).precision
    still = moved < ROUNDING[precision][0] and changed <= ROUNDING[precision][1]
    if models.key_is_inert(model):
        exactly = "as it must" if precision == "fp32" else f"the rounding of {precision}"
        verdict = exactly if still else "although it cannot: a fault of this pipeline"
        return f"b_k is inert in {models.title(model)}: no output depends on it. Tuning it {told}, {verdict}."
    if still:
        return f"In {models.title(model)} tuning b_k {told}: no more than rounding, as where b_k is inert."
    return (
        f"b_k is live in {models.title(model)}: tuning it {told}. With rotary positions each key is rotated after b_k "
        "is added, so that b_k can prefer some distances to others."
    )


# ------------------------------------------------------------------------------------------- in-context learning


def shortened(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a task: the demonstrations asked for, and how many prompts lost some because they would not have fitted."""
    rows = []
    for c in comparisons:
        prompted = [(c.specs[key], result) for key, result in c.results.items() if key[0] == "in_context"]
        if not prompted:
            continue
        spec, n = prompted[0][0], prompted[0][1].data[c.split]
        dropped = sum(result.data[f"{c.split}_dropped"] for _, result in prompted)
        lost = sum(result.data[f"{c.split}_shortened"] for _, result in prompted)
        row = {"task": c.title, "demonstrations": spec.shots, "set": spec.demonstrations, "longest": spec.max_length}
        row |= {"prompts": n * len(prompted), "shortened prompts": lost}
        row["demonstrations left, mean"] = f"{spec.shots - dropped / (n * len(prompted)):.1f}"
        rows.append(row)
    return pd.DataFrame(rows)


# -------------------------------------------------------------------------------------------------------- in words


def gap_sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """On which tasks b_v scores decidedly higher or lower than each other method, in words."""
    said = []
    for method in [m for m in autoregressive.METHODS if m != "value"]:
        both = [c for c in comparisons if {"value", method} <= set(c.scores)]
        idle = [c for c in both if learning.says_nothing(c, ("value", method))]
        told = [words.clauses({c.title: c.gap("value", method) for c in both if c not in idle})]
        told += [f"nothing learned on {', '.join(c.title for c in idle)}"] if idle else []
        if any(told):
            said.append(f"b_v against {methods.title(method)}: {'; '.join(filter(None, told))}.")
    return said


def rate_sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """What a learning rate of its own is worth to each searched method, in words."""
    paper, chosen = (evidence.of_variant(comparisons, v) for v in (autoregressive.PAPER, autoregressive.CHOSEN))
    said = []
    for later in chosen:
        (first,) = [c for c in paper if c.task == later.task]
        for method in [m for m in autoregressive.TRAINED if m in later.scores and m in first.scores]:
            before, after = (c.run_of(method).learning_rate for c in (first, later))
            if before != after:
                said.append(
                    f"{later.title}, {methods.title(method)}: its own rate, {after:g}, instead of {before:g} is worth "
                    f"{words.told(first.change(later, method))}."
                )
    return said or ["No method was run at a rate of its own."]


def summary(comparisons: Sequence[Comparison]) -> list[str]:
    """Which of b_v, b_q and b_k is best, and which method of all, on how many tasks, in words."""
    terms = {c.title: best_term(c) for c in comparisons if c.learned}
    first = {t: [title for title, term in terms.items() if term == t] for t in methods.ATTENTION_TERMS}
    parts = [f"{methods.title(t)} on {', '.join(titles)}" for t, titles in first.items() if titles]
    undecided = [title for title, term in terms.items() if term is None]
    said = ["Decidedly the best of b_v, b_q and b_k: " + ("; ".join(parts) or "none on any task") + "."]
    if parts and undecided:
        said[0] = said[0][:-1] + f"; none on {', '.join(undecided)}."
    if idle := [f"{c.title} ({c.nothing_learned})" for c in comparisons if not c.learned]:
        said.append(f"Nothing was learned, and so nothing is counted, on {', '.join(idle)}.")
    best = {c.title: c.best([m for m in autoregressive.METHODS if m in c.scores]) for c in comparisons}
    if leaders := ", ".join(f"{methods.title(method)} on {title}" for title, method in best.items() if method):
        said.append(f"The highest mean of all methods: {leaders}. A highest mean of many is no decision.")
    return said
