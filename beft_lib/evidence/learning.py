"""Whether anything was learned in a setting, and what an answer that is always the same scores there.

Runs that predict one class score like any others: F1 81 on MRPC, 0 on CoLA. Ranking them says nothing, in favour of a
method or against it. So a setting in which no method decidedly beats its control, or in which every prediction is
constant, is one of *nothing learned*: it is shown, and counts nowhere.
"""

from typing import TYPE_CHECKING

import numpy as np

from beft_lib import runs, tasks
from beft_lib.evidence import stats
from beft_lib.runs.frames import constant
from beft_lib.tasks import metrics

if TYPE_CHECKING:
    from beft_lib.evidence.comparison import Comparison


def candidates(comparison: "Comparison") -> list[str]:
    """The methods that could have learned something: not the control, nor b_k where it is the head alone."""
    idle = {comparison.control} | ({"key"} if comparison.serves_key else set())
    return [method for method in comparison.scores if method not in idle]


def nothing_learned(comparison: "Comparison") -> str:
    """Why a setting shows nothing, in a few words; empty if a method learned something, or nothing can tell.

    1. Every run of every candidate predicts the same for every example. 2. The control was run over as many seeds, and
    no candidate's gap to it is decided above zero (95 %, over seeds and examples; no allowance for their number, which
    is in the methods' favour). Without a control, the witness speaks: another group's runs of the same setting.
    """
    found = candidates(comparison)
    if not found:
        return ""
    if all_constant(comparison):
        return "every run predicts one class"
    if comparison.control not in comparison.scores:
        return comparison.witness.nothing_learned if comparison.witness else ""
    gaps = [comparison.gap(method, comparison.control) for method in found]
    if all(gap.n < 2 for gap in gaps):
        return ""  # one seed decides nothing, not even that
    if any(gap.decided and gap.mean > 0 for gap in gaps):
        return ""
    control = "the untuned model" if comparison.prompts else "the head alone"
    return f"no method decidedly beats {control}"


def all_constant(comparison: "Comparison") -> bool:
    """Whether every run of every candidate predicts the same for every example."""
    found = candidates(comparison)
    return bool(found) and all(constant_share(comparison, method) == 1 for method in found)


def beats_control(comparison: "Comparison", method: str) -> bool:
    """Whether a method is decidedly better than the head that trains beside it, or than the untuned decoder."""
    gap = comparison.gap(method, comparison.control)
    return gap.decided and gap.mean > 0


def constant_share(comparison: "Comparison", method: str) -> float:
    """The smallest share of one prediction among the method's runs; 1 where each run predicts one class."""
    made = "head_only" if method == "key" and comparison.serves_key else method
    own = [runs.predictions(comparison.specs[key]) for key in comparison.results if key[0] == made]
    shares = [constant(arrays, comparison.split) for arrays in own]
    return float(np.nanmin(shares)) if shares and not np.isnan(shares).all() else np.nan


def also(comparison: "Comparison", method: str, metric: str = "accuracy") -> stats.Estimate:
    """The method's score by another metric of the task, in percent: accuracy beside F1, Matthews or a correlation."""
    made = "head_only" if method == "key" and comparison.serves_key else method
    found = [
        100 * value.value
        for (own, _), result in comparison.results.items()
        for value in result.metrics
        if own == made and (value.metric, value.split) == (metric, comparison.split)
    ]
    return stats.mean(found)


def constant_score(comparison: "Comparison", metric: str | None = None) -> float:
    """What the best answer that is always the same scores, in percent: 0 by Matthews or a correlation, and by accuracy
    the share of the commonest class. nan where texts are written or the options differ from example to example."""
    task, metric = tasks.get(comparison.task), metric or comparison.metric
    key = next(iter(comparison.results), None)
    if key is None:
        return np.nan
    arrays = runs.predictions(comparison.specs[key])
    if metric in (*metrics.CORRELATIONS, "matthews"):
        return 0.0
    labels = arrays[f"{comparison.split}/labels"]
    if comparison.prompts and (task.kind != "options" or not task.options):
        return np.nan
    return 100 * max(metrics.compute(metric, np.full(len(labels), c), labels) for c in np.unique(labels))
