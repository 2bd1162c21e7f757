"""What a claim is, and how the claims of one table are judged alike: in which settings, and at which learning rates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from beft_lib import paper
from beft_lib.claims.extended import in_variant
from beft_lib.claims.predicates import Finding, Predicate, within
from beft_lib.evidence import Comparison
from beft_lib.experiments import efficiency, extension
from beft_lib.runs.timing import Timing

GLUE = ("sst2", "rte", "qqp", "qnli", "mnli", "cola", "mrpc", "stsb")
FIG4 = ("sst2", "cola", "stsb")
TABLE5 = tuple(paper.numbers("table5")["columns"])
TO_HIGH = ("low", "medium", "high")
EPOCHS = "Epochs"
BEYOND_LOW = ("medium", "high", "all")


Encoders = Literal["any", "first", "further"]


@dataclass(frozen=True)
class Claim:
    """`shown`: the figure or table of the notebook that holds the evidence; `needs`: the runs it is judged by."""

    id: str
    section: str
    text: str
    notebook: str
    shown: str
    needs: str
    predicate: Predicate | None = None
    timed: Callable[[Sequence[Timing]], Finding | None] | None = None  # judges timings, in a predicate's place
    encoders: Encoders = "any"  # of a notebook with several: which the claim speaks of


def sst2_low(id: str, section: str, text: str, predicate: Predicate) -> Claim:
    needs = "SST-2, low data: all biases and each term alone"
    return Claim(id, section, text, "01_bias_selection", "Fig. 1", needs, within(predicate, ("sst2",), ("low",)))


def glue(id, section, text, shown, predicate, tasks: Sequence[str] = GLUE, regimes=TO_HIGH) -> Claim:
    which = "the GLUE tasks" if tasks == GLUE else ", ".join(tasks)
    needs = f"{which}, {' to '.join(dict.fromkeys((regimes[0], regimes[-1])))} data: all biases and each term alone"
    return Claim(id, section, text, "02_glue_regimes", shown, needs, within(predicate, tasks, regimes))


def over_regimes(id: str, text: str, predicate: Predicate, task: str, regimes=(*TO_HIGH, "all")) -> Claim:
    return glue(id, "§3.2, Fig. 4", text, "Fig. 4", predicate, (task,), regimes)


def table2(id: str, section: str, text: str, predicate: Predicate) -> Claim:
    """Judged at the learning rates that were chosen for each method, where they were; else at the paper's."""
    judged = in_variant(within(predicate, ("rte",), ("low",)), efficiency.CHOSEN, efficiency.PAPER)
    return Claim(id, section, text, "03_efficiency", "Table 2", "RTE, low data: every method", judged)


def table3(id: str, section: str, text: str, predicate: Predicate) -> Claim:
    judged = in_variant(within(predicate, ("rte", "sst2"), ("low",)), efficiency.TASK_HEADS)
    needs = "b_v tuned on RTE and on SST-2, and their average, on both tasks"
    return Claim(id, section, text, "03_efficiency", "Table 3", needs, judged)


def table4(id: str, text: str, predicate: Predicate, tasks: Sequence[str], encoders: Encoders) -> Claim:
    judged = in_variant(within(predicate, tasks, ("low",)), "")
    needs = f"{', '.join(tasks)} on the {encoders} encoder{'s' * (encoders == 'further')}: each term alone"
    return Claim(id, "§3.4, Table 4", text, "04_extension", "Table 4", needs, judged, encoders=encoders)


def rates(
    id: str, section: str, text: str, shown: str, needs: str, predicate: Predicate, tasks: Sequence[str] = ("cb", "wic")
) -> Claim:
    """Judged on the tasks that were run at several learning rates, with the authors' form of the head.

    Learning rates on the first encoder, as in the paper; epochs on every one.
    """
    inner = within(predicate, tasks, ("low",))

    def judged(comparisons: Sequence[Comparison]) -> Finding | None:
        own = [c for c in comparisons if c.variant != extension.BIAS_HEAD]
        several = {c.task for c in own if c.variant}
        return inner([c for c in own if c.task in several])

    encoders: Encoders = "any" if shown == EPOCHS else "first"
    return Claim(id, section, text, "04_extension", shown, needs, judged, encoders=encoders)


def table5(id: str, text: str, predicate: Predicate, needs: str, variant: str, suffix: str = "") -> Claim:
    """Judged on the paper's eleven tasks, at the paper's learning rates or at those chosen for each method.

    Where only a task's variant with short passages was run, it stands for the task.
    """

    def judged(comparisons: Sequence[Comparison]) -> Finding | None:
        run = {c.task for c in comparisons}
        wanted = [f"{task}-short" if task not in run and f"{task}-short" in run else task for task in TABLE5]
        return in_variant(within(predicate, wanted, ("low", "custom"), len(wanted)), variant)(comparisons)

    text = f"{text}, each at a learning rate of its own" if suffix else text
    return Claim(id + suffix, "§3.5, Table 5", text, "05_autoregressive", "Table 5", needs, judged)
