"""Cells and small tables that several chapters share."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from beft_lib import importance, models, tasks
from beft_lib.evidence import Comparison, learning, stats
from beft_lib.tuning.methods import ATTENTION_TERMS, title

IDLE = "§"  # on what stands where nothing was learned: it is shown, and counts nowhere


def mark(comparison: Comparison) -> str:
    """`IDLE` where nothing was learned, else nothing: what a table puts behind a score, a task or a rate."""
    return "" if comparison.learned else IDLE


def note(comparisons: Sequence[Comparison]) -> str:
    """The footnote of the mark for a caption: where nothing was learned, and why; nothing where there is none."""
    idle: dict[str, list[str]] = {}
    for c in comparisons:
        if not c.learned:
            about = ", ".join(part for part in (c.variant, f"{c.regime} data" if c.regime != "custom" else "") if part)
            idle.setdefault(c.nothing_learned, []).append(f"{c.title} ({about})" if about else c.title)
    said = "; ".join(f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in idle.items())
    return f" {IDLE} nothing was learned, and so nothing is counted. {said}." if said else ""


def beside(comparison: Comparison, methods: Sequence[str]) -> str:
    """What a score by F1, Matthews or a correlation is read beside, in words: accuracies, and the constant answer's.

    Nothing where the metric is accuracy, or no answer is the same for all examples (texts are written).
    """
    constant = learning.constant_score(comparison)
    if comparison.metric == learning.ACCURACY or np.isnan(constant):
        return ""
    said = f"the best constant answer scores {stats.number(constant)}"
    if learning.beside_accuracy(comparison):
        by = comparison.by(learning.ACCURACY)
        own = [f"{title(m)} {stats.number(by.score(m).mean)}" for m in methods if m in comparison.scores]
        share = stats.number(learning.constant_score(comparison, learning.ACCURACY))
        said += f"; in accuracy {', '.join(own)}, the commonest class {share}"
    return f"{comparison.title} by {comparison.metric}: {said}"


def context(comparisons: Sequence[Comparison], methods: Sequence[str]) -> str:
    """`beside` of each setting for a caption, as a sentence; nothing where all are scored by accuracy."""
    said = [text for c in comparisons if (text := beside(c, methods))]
    return f" {'. '.join(dict.fromkeys(said))}." if said else ""


def score_cell(comparison: Comparison, method: str) -> str:
    """A method's mean in percent ± half its interval, † on the term that the projection ratio selects, and the `mark`
    of a setting in which nothing was learned."""
    score = comparison.score(method)
    if np.isnan(score.mean):
        return "failed" if method in comparison.planned else "–"
    spread = "one seed" if np.isnan(score.low) else f"± {_half(comparison, method):.1f}"
    return (
        f"{score.mean:.1f} {spread}" + ("†" if comparison.selected("projection") == method else "") + mark(comparison)
    )


def _half(comparison: Comparison, method: str) -> float:
    """Half of Student's interval, before it is cut at the ends of the metric's range."""
    return stats.mean(comparison.scores[method].dropna().to_numpy()).half


def best_term(comparison: Comparison) -> str | None:
    """The term that scores higher than each of the other two beyond the paired interval; None where none learned."""
    if (first := comparison.best()) is None or not comparison.learned:
        return None
    gaps = [comparison.gap(first, other) for other in ATTENTION_TERMS if other != first]
    return first if all(gap.decided and gap.mean > 0 for gap in gaps) else None


def ranking(comparison: Comparison, approach: str = "projection") -> pd.DataFrame:
    """A row for each of b_q, b_k and b_v, the best by an approach first: index `term`, and a column an approach.

    Its scores are means over layers and seeds; `place` is the term's among all bias terms of the model, `of` how many
    these are. Empty where no run that tunes all biases ended well.
    """
    places = comparison.places(approach)
    order = sorted((term for term in ATTENTION_TERMS if term in places), key=lambda term: places[term].place)
    frame = pd.DataFrame({name: comparison.means(name) for name in importance.APPROACHES}).reindex(order)
    return frame.assign(place=[places[term].place for term in order], of=len(places)).rename_axis("term")


def examples(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a setting, from its first run: how long it trained, on how many examples, and how many texts were cut."""
    rows = []
    for comparison in comparisons:
        key = next(iter(comparison.results), None)
        if key is None:
            continue
        spec, data = comparison.specs[key], comparison.results[key].data
        row = {"data": comparison.regime, "task": tasks.title(comparison.task), "longest": spec.max_length}
        row |= {"train": data["train"], "train cut": data["truncated"]}
        row |= {"epochs": spec.epochs, "steps": spec.total_steps, "learning rate": f"{spec.learning_rate:g}"}
        for split in comparison.splits:
            row |= {"evaluated": data[split], "evaluated cut": data[f"{split}_truncated"]}
        rows.append(row)
    return pd.DataFrame(rows)


PAIRS = ("mnli", "qqp", "qnli", "rte")  # what a model that was trained on such pairs has seen the like of


def seen(comparisons: Sequence[Comparison]) -> str:
    """What a caption owes its reader where a model was trained further on pairs like those of a task; else nothing."""
    encoders = [name for name in dict.fromkeys(c.model for c in comparisons) if name in models.SEEN_PAIRS]
    shown = [task for task in dict.fromkeys(c.task for c in comparisons if c.model in encoders) if task in PAIRS]
    if not shown:
        return ""
    data = ", ".join(dict.fromkeys(name for model in encoders for name in models.SEEN_PAIRS[model]))
    return (
        f" {' and '.join(map(models.title, encoders))} saw sentence pairs of {data} before: scores on "
        f"{', '.join(map(tasks.title, shown))} are not those of a model that never saw any."
    )
