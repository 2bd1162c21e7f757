"""Notebook 03: Table 2 (cost and score of every method), Table 3 (merging), and how the changes of b_v lie."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from beft_lib import evidence, runs, tasks
from beft_lib.chapters import cells, cost_table, names
from beft_lib.chapters.efficiency import plan as efficiency
from beft_lib.chapters.plans import CHOSEN, PAPER
from beft_lib.evidence import Comparison, cosines, words
from beft_lib.runs.timing import Timing
from beft_lib.tuning import methods


def scores(comparisons: Sequence[Comparison], paper: Mapping) -> pd.DataFrame:
    """Table 2, what each method achieves: mean ± standard deviation over seeds and the gap of b_v to it, by rate."""
    variants = [v for v in (PAPER, CHOSEN) if evidence.of_variant(comparisons, v)]
    rows = []
    for method in efficiency.METHODS:
        row = {"method": names.method(method)}
        for variant in variants:
            (c,) = evidence.of_variant(comparisons, variant)
            which = "paper's" if variant == PAPER else "chosen"
            row |= {f"rate, {which}": _rate(c, method), f"score, {which} rate": _mean_and_sd(c, method) + cells.mark(c)}
            row[f"b_v − it, {which} rate"] = "–" if method == "value" else str(c.gap("value", method))
        if evidence.of_variant(comparisons, variants[0])[0].task == paper["task"]:
            theirs = paper["accuracy"].get(method)
            row["paper, BERT-base"] = f"{theirs:.1f} ± {paper['spread'][method]:.1f}" if theirs else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def _rate(comparison: Comparison, method: str) -> str:
    return f"{comparison.run_of(method).learning_rate:g}" if method in comparison.planned else "–"


def _mean_and_sd(comparison: Comparison, method: str) -> str:
    if method not in comparison.scores:
        return "failed"
    scores = comparison.scores[method].dropna()
    return f"{scores.mean():.1f} ± {scores.std(ddof=1):.1f}" if len(scores) > 1 else f"{scores.mean():.1f} (one seed)"


def score_sentences(comparisons: Sequence[Comparison], timing: Timing) -> list[str]:
    """Who scores higher than b_v, who lower, and what the others cost, in words."""
    said = []
    for variant in (PAPER, CHOSEN):
        for c in evidence.of_variant(comparisons, variant):
            others = [method for method in efficiency.METHODS if method != "value"]
            gaps = {methods.title(m): c.gap("value", m) for m in others if m in c.scores}
            lost = [methods.title(m) for m in efficiency.METHODS if m not in c.scores]
            told = f"b_v at {variant}: {words.clauses(gaps, 'than', failed=lost)}."
            if not c.learned:
                told = f"b_v at {variant}: nothing was learned ({c.nothing_learned}), so that no order counts. {told}"
            said.append(told)
    slower = [f"{methods.title(m)} {cost_table.ratio(timing, m)}" for m in timing.methods if m != "value"]
    return [*said, "Time in the training loop against b_v's: " + ", ".join(slower) + "."]


# ------------------------------------------------------------------------------------------------------ merging


def merged(comparisons: Sequence[Comparison], paper: Mapping) -> pd.DataFrame:
    """Table 3: a row a state of b_v and choice of heads, a column a task; the paper's number after a bar."""
    rows = []
    for variant in (efficiency.TASK_HEADS, efficiency.OWN_HEADS):
        both = evidence.of_variant(comparisons, variant)
        if len(both) < 2:
            continue
        first, second = both
        states = [
            ("as pre-trained", dict.fromkeys((first.task, second.task), efficiency.BASE)),
            (f"tuned on {tasks.title(first.task)}", {first.task: efficiency.OWN, second.task: efficiency.OTHER}),
            (f"tuned on {tasks.title(second.task)}", {first.task: efficiency.OTHER, second.task: efficiency.OWN}),
            ("the average of both", dict.fromkeys((first.task, second.task), efficiency.MERGED)),
        ]
        for name, arms in states:
            row = {"b_v": name, "head": variant.partition(", ")[2]}
            for c in both:
                theirs = paper.get(c.task, {}).get(arms[c.task])
                printed = f" | {theirs:.1f}" if theirs else ""
                row[f"{tasks.title(c.task)}{cells.mark(c)}, {c.metric} %"] = f"{c.score(arms[c.task])}{printed}"
            rows.append(row)
    return pd.DataFrame(rows)


def merging_sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """What merging gains and loses on each task with the task's own head, in words."""
    said = []
    for c in evidence.of_variant(comparisons, efficiency.TASK_HEADS):
        named = {
            "the other task's b_v": c.gap(efficiency.MERGED, efficiency.OTHER),
            "the pre-trained b_v": c.gap(efficiency.MERGED, efficiency.BASE),
            "the task's own b_v": c.gap(efficiency.MERGED, efficiency.OWN),
        }
        parts = [f"{words.told(gap)} against {name}" for name, gap in named.items() if not np.isnan(gap.mean)]
        idle = "" if c.learned else f" Nothing was learned there: {c.nothing_learned}."
        said.append(f"On {tasks.title(c.task)} the average scores " + ", ".join(parts) + "." + idle)
    return said


def cosine_table(across: pd.DataFrame, apart: pd.DataFrame, kin: pd.DataFrame, paper: Mapping) -> pd.DataFrame:
    """A row a layer and one for all: cosines of changes of b_v (two tasks; one task), chance, and of the tuned b_v."""
    rows = []
    for layer in dict.fromkeys(across.layer):
        row = {"layer": layer, "two tasks, one seed": cosines.cosine(across, layer).text(2)}
        row["two tasks, two seeds"] = cosines.cosine(apart, layer).text(2)
        for task in dict.fromkeys(kin.task):
            row[f"{tasks.title(task)}, two seeds"] = cosines.cosine(kin[kin.task == task], layer).text(2)
        row["random directions"] = f"0 ± {cosines.null(across, layer):.2f}"
        tuned = cosines.cosine(across, layer, of="tuned")
        row["tuned b_v of two tasks"] = f"{tuned.text(2)}, {cosines.angle(tuned.mean):.1f}°"
        whole = layer == cosines.OVERALL
        row["paper, BERT-base, tuned"] = f"{paper['cosine']}, {paper['angle']}°" if whole else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def cosine_sentences(across: pd.DataFrame, apart: pd.DataFrame, kin: pd.DataFrame) -> list[str]:
    """How alike tuned b_v and their changes are, beside chance and beside two runs of one task, in words."""
    changes, tuned = cosines.cosine(across), cosines.cosine(across, of="tuned")
    if np.isnan(changes.mean):
        return ["There are no two changes to compare."]
    beyond = "beyond" if abs(changes.mean) > cosines.null(across) else "within"
    said = [
        f"The b_v *tuned* on the two tasks have a cosine of {tuned.text(2)}, or {cosines.angle(tuned.mean):.1f}°. "
        f"Their *changes* have {changes.text(2)}: {beyond} the 0 ± {cosines.null(across):.2f} of random directions."
    ]
    for task, closer in cosines.closer(kin, apart).items():
        if np.isnan(closer.mean):
            continue
        same, other = (cosines.cosine(frame[frame.task == task]) for frame in (kin, apart))
        told = "agree" if closer.decided and closer.mean > 0 else "do not agree with each other"
        said.append(
            f"The changes of two seeds on {tasks.title(task)} {told}: their cosine is {same.text(2)}, that with "
            f"the other task's {other.text(2)}."
        )
    return said


def majority_sentence(comparison: Comparison) -> str:
    """What answering the commonest class always would score, and which methods are decidedly beyond the head alone."""
    key = next(iter(comparison.results))
    labels = runs.predictions(comparison.specs[key])[f"{comparison.split}/labels"]
    share = 100 * np.bincount(labels).max() / len(labels)
    gaps = {m: comparison.gap(m, "head_only") for m in efficiency.METHODS if m != "head_only"}
    better = [methods.title(m) for m, gap in gaps.items() if gap.decided and gap.mean > 0]
    head = comparison.score("head_only")
    return f"Always answering the commonest class has an accuracy of {share:.1f} %, the head alone scores {head}. " + (
        f"Decidedly better than the head alone: {', '.join(better)}." if better else "No method is decidedly better."
    )
