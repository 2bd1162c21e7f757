"""Whether anything was learned in a setting, and what an answer that is always the same scores there.

Runs that predict one class score like any others: F1 81 on MRPC, 0 on CoLA. Ranking them says nothing, in favour of a
method or against it. So a setting in which no method decidedly beats its control, in which every prediction is
constant, or in which no method decidedly beats the best answer that is always the same, is one of *nothing learned*: it
is shown, and counts nowhere.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from beft_lib import runs, tasks
from beft_lib.runs.frames import constant
from beft_lib.tasks import metrics
from beft_lib.tuning import methods

if TYPE_CHECKING:
    from beft_lib.evidence.comparison import Comparison

ACCURACY = "accuracy"


def candidates(comparison: "Comparison") -> list[str]:
    """The methods that could have learned something: not the control, nor b_k where it is the head alone."""
    idle = {comparison.control} | ({"key"} if comparison.serves_key else set())
    return [method for method in comparison.scores if method not in idle]


def nothing_learned(comparison: "Comparison", among: Collection[str] = ()) -> str:
    """Why a setting shows nothing, in a few words; empty if a method learned something, or nothing can tell.

    `among`: the methods in question; left out, b_q, b_k and b_v, or all where none of these was run. That all biases
    learn something makes a comparison of b_v with them one, but not that of two terms which did not.

    1. Every run of every one of them predicts the same for every example. 2. The control was run over as many seeds,
    and no gap to it is decided above zero (95 %, over seeds and examples; no allowance for their number, which is in
    the methods' favour). Without a control, the witness speaks: another group's runs of the same setting. 3. None of
    those that beat the control `exceeds_constant`: F1 of 1.5 beats a head's 0, and always "yes" scores 54.
    """
    found = candidates(comparison)
    asked = [method for method in found if method in (among or methods.ATTENTION_TERMS)] or found
    reason = _idle(comparison, asked)
    if not reason or asked == found or _idle(comparison, found):
        return reason
    named = ", ".join(map(methods.title, asked))
    return reason.replace("every run", f"every run of {named}").replace("no method", f"none of {named}")


def says_nothing(comparison: "Comparison", compared: Collection[str]) -> str:
    """Why a setting counts for nothing where these methods are compared; empty if it counts.

    That no method beats the control is no reason where the control itself is one of them: "b_v scores higher than
    zero-shot" would then be judged only where it holds.
    """
    controls = {comparison.control} | ({"key"} if comparison.serves_key else set())
    if controls & set(compared) and not all_constant(comparison, tuple(compared)):
        return ""
    return nothing_learned(comparison, compared)


def _idle(comparison: "Comparison", asked: Sequence[str]) -> str:
    """Why these methods show nothing; empty if one learned something, or nothing can tell."""
    if not asked:
        return ""
    if all_constant(comparison, asked):
        return "every run predicts one class"
    if comparison.control in comparison.scores:
        gaps = {method: comparison.gap(method, comparison.control) for method in asked}
        if all(gap.n < 2 for gap in gaps.values()):
            return ""  # one seed decides nothing, not even that
        asked = [method for method, gap in gaps.items() if gap.decided and gap.mean > 0]
    elif comparison.witness and comparison.witness.nothing_learned:
        return comparison.witness.nothing_learned
    if not asked:
        return f"no method decidedly beats {'the untuned model' if comparison.prompts else 'the head alone'}"
    if any(exceeds_constant(comparison, method) for method in asked):
        return ""
    return "no method decidedly beats the best constant answer"


def exceeds_constant(comparison: "Comparison", method: str) -> bool:
    """Whether a method decidedly scores higher than the best constant answer, or nothing can tell.

    By the task's metric or by accuracy: either shows that predictions follow the inputs, since answers drawn without
    looking reach at best the constant one's F1 and the commonest class's share. Both are needed to deny it: F1 at half
    a decision's threshold may lie below always "yes" where accuracy is far above.
    """
    shown = [comparison.metric]
    if beside_accuracy(comparison) and ACCURACY not in shown:
        shown.append(ACCURACY)
    for metric in shown:
        least = constant_score(comparison, metric)
        over = comparison.by(metric).above(method, least)
        if over.n < 2 or (over.decided and over.mean > 0) or (over.low == over.high and over.mean > 0):
            return True
    return False


def beside_accuracy(comparison: "Comparison") -> bool:
    """Whether a score needs accuracy beside it: the metric is another, and the task has it."""
    return comparison.metric != ACCURACY and ACCURACY in tasks.get(comparison.task).metrics


def all_constant(comparison: "Comparison", asked: Sequence[str] = ()) -> bool:
    """Whether every run of these methods, or of every candidate, predicts the same for every example."""
    found = asked or candidates(comparison)
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


def constant_score(comparison: "Comparison", metric: str | None = None) -> float:
    """What the best answer that is always the same scores, in percent: 0 by Matthews or a correlation, and by accuracy
    the share of the commonest class. nan where texts are written, the options differ from example to example, or all
    examples are of one class, so that nothing can beat it."""
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
    classes = np.unique(labels)
    if len(classes) < 2:
        return np.nan
    return 100 * max(metrics.compute(metric, np.full(len(labels), c), labels) for c in classes)
