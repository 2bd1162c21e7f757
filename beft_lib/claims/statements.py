"""The paper's claims of §1 to §3.5, in our words: where each is shown, and the predicate that judges it.

A claim without a predicate waits for its notebook; `needs` says what it will be judged by.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from beft_lib import paper
from beft_lib.claims.extended import (
    all_of,
    at_rate,
    comparable,
    gains_less_at_the_low_rate,
    improves_with_epochs,
    in_variant,
    is_faster,
    is_small,
    lie_apart,
    ranking_stays_along,
    score_rises_with,
    trains_fewer,
)
from beft_lib.claims.predicates import (
    Finding,
    Predicate,
    by_rate,
    gap_grows,
    loses_less,
    ranking_stays,
    score_gap_follows,
    scores_higher,
    selection_scores_higher,
    selects,
    within,
)
from beft_lib.evidence import Comparison
from beft_lib.experiments import efficiency, extension
from beft_lib.timing import Timing

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


def _sst2_low(id: str, section: str, text: str, predicate: Predicate) -> Claim:
    needs = "SST-2, low data: all biases and each term alone"
    return Claim(id, section, text, "01_bias_selection", "Fig. 1", needs, within(predicate, ("sst2",), ("low",)))


def _glue(id, section, text, shown, predicate, tasks: Sequence[str] = GLUE, regimes=TO_HIGH) -> Claim:
    which = "the GLUE tasks" if tasks == GLUE else ", ".join(tasks)
    needs = f"{which}, {' to '.join(dict.fromkeys((regimes[0], regimes[-1])))} data: all biases and each term alone"
    return Claim(id, section, text, "02_glue_regimes", shown, needs, within(predicate, tasks, regimes))


def _over_regimes(id: str, text: str, predicate: Predicate, task: str, regimes=(*TO_HIGH, "all")) -> Claim:
    return _glue(id, "§3.2, Fig. 4", text, "Fig. 4", predicate, (task,), regimes)


def _table2(id: str, section: str, text: str, predicate: Predicate) -> Claim:
    """Judged at the learning rates that were chosen for each method, where they were; else at the paper's."""
    judged = in_variant(within(predicate, ("rte",), ("low",)), efficiency.CHOSEN, efficiency.PAPER)
    return Claim(id, section, text, "03_efficiency", "Table 2", "RTE, low data: every method", judged)


def _table3(id: str, section: str, text: str, predicate: Predicate) -> Claim:
    judged = in_variant(within(predicate, ("rte", "sst2"), ("low",)), efficiency.TASK_HEADS)
    needs = "b_v tuned on RTE and on SST-2, and their average, on both tasks"
    return Claim(id, section, text, "03_efficiency", "Table 3", needs, judged)


def _table4(id: str, text: str, predicate: Predicate, tasks: Sequence[str], encoders: Encoders) -> Claim:
    judged = in_variant(within(predicate, tasks, ("low",)), "")
    needs = f"{', '.join(tasks)} on the {encoders} encoder{'s' * (encoders == 'further')}: each term alone"
    return Claim(id, "§3.4, Table 4", text, "04_extension", "Table 4", needs, judged, encoders=encoders)


def _rates(
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


def _table5(id: str, text: str, predicate: Predicate, needs: str, variant: str, suffix: str = "") -> Claim:
    """Judged on the paper's eleven tasks, at the paper's learning rates or at those chosen for each method.

    Where only a task's variant with short passages was run, it stands for the task.
    """

    def judged(comparisons: Sequence[Comparison]) -> Finding | None:
        run = {c.task for c in comparisons}
        wanted = [f"{task}-short" if task not in run and f"{task}-short" in run else task for task in TABLE5]
        return in_variant(within(predicate, wanted, ("low", "custom")), variant)(comparisons)

    text = f"{text}, each at a learning rate of its own" if suffix else text
    return Claim(id + suffix, "§3.5, Table 5", text, "05_autoregressive", "Table 5", needs, judged)


CLAIMS = (
    _sst2_low(
        "projection-selects-best-sst2",
        "§1, Fig. 1",
        "On SST-2 with little data, the term that the projection ratio ranks first scores higher than the other two",
        selection_scores_higher("projection"),
    ),
    _sst2_low(
        "magnitude-selects-query-sst2-low",
        "§1, Fig. 1",
        "On SST-2 with little data, Magnitude selects b_q",
        selects("magnitude", "query"),
    ),
    _sst2_low(
        "value-beats-query-sst2-low",
        "§1, Fig. 1",
        "On SST-2 with little data, tuning b_v scores higher than tuning b_q",
        scores_higher("value", "query"),
    ),
    _sst2_low(
        "query-beats-key-sst2-low",
        "§1, Fig. 1",
        "On SST-2 with little data, tuning b_q scores higher than tuning b_k",
        scores_higher("query", "key"),
    ),
    _glue(
        "fisher-static",
        "§1, §3.2",
        "Fisher ranks the bias terms alike from low to all data",
        "Fig. 4",
        ranking_stays("fisher"),
        FIG4,
        (*TO_HIGH, "all"),
    ),
    _table2(
        "all-biases-match-full",
        "§1, §3.3",
        "With little data, tuning all biases is comparable with tuning all parameters",
        comparable("all_biases", "full"),
    ),
    _rates(
        "fisher-static-in-training",
        "§2.2",
        "Fisher orders b_q, b_k and b_v alike all the while a model is tuned",
        "Fisher along a run",
        "CB: Fisher scores at several steps of a run that tunes all biases",
        ranking_stays_along("fisher"),
        ("cb",),
    ),
    _glue(
        "value-beats-query",
        "§3.2, Table 1",
        "Tuning b_v scores higher than tuning b_q on every GLUE task, from low to high data",
        "Table 1",
        scores_higher("value", "query"),
    ),
    _glue(
        "query-beats-key",
        "§3.2, Table 1",
        "Tuning b_k always scores lower than tuning b_q",
        "Table 1",
        scores_higher("query", "key"),
    ),
    _glue(
        "projection-selects-best",
        "§3.2, Table 1",
        "The projection ratio selects the term that scores highest, on every task and with any amount of data",
        "Table 1",
        selection_scores_higher("projection"),
    ),
    _glue(
        "projection-selects-value",
        "§3.2, Table 1",
        "The projection ratio selects b_v on every task and with any amount of data",
        "Table 1",
        selects("projection", "value"),
    ),
    _glue(
        "projection-loses-less-than-magnitude",
        "§1, Fig. 4",
        "Selecting by the projection ratio outperforms selecting by Magnitude",
        "Scoreboard",
        loses_less("projection", "magnitude"),
    ),
    _glue(
        "projection-loses-less-than-fisher",
        "§1, Fig. 4",
        "Selecting by the projection ratio outperforms selecting by Fisher",
        "Scoreboard",
        loses_less("projection", "fisher"),
    ),
    _over_regimes(
        "magnitude-selects-query-sst2",
        "On SST-2, Magnitude selects b_q whatever the amount of data",
        selects("magnitude", "query"),
        "sst2",
    ),
    _over_regimes(
        "magnitude-selects-query-cola",
        "On CoLA, Magnitude selects b_q whatever the amount of data",
        selects("magnitude", "query"),
        "cola",
    ),
    _over_regimes(
        "magnitude-selects-value-stsb-low",
        "On STS-B with little data, Magnitude selects b_v",
        selects("magnitude", "value"),
        "stsb",
        ("low",),
    ),
    _over_regimes(
        "magnitude-selects-query-stsb",
        "On STS-B, Magnitude selects b_q from medium data upwards",
        selects("magnitude", "query"),
        "stsb",
        BEYOND_LOW,
    ),
    _over_regimes(
        "magnitude-static-cola",
        "On CoLA, Magnitude ranks the bias terms alike whatever the amount of data",
        ranking_stays("magnitude"),
        "cola",
    ),
    _over_regimes(
        "fisher-selects-value-sst2",
        "On SST-2, Fisher selects b_v whatever the amount of data",
        selects("fisher", "value"),
        "sst2",
    ),
    _glue(
        "value-beats-query-fig4",
        "§3.2, Fig. 4",
        "On SST-2, CoLA and STS-B, tuning b_v scores higher than tuning b_q whatever the amount of data",
        "Fig. 4",
        scores_higher("value", "query"),
        FIG4,
        (*TO_HIGH, "all"),
    ),
    _glue(
        "projection-selects-value-fig4",
        "§3.2, Fig. 4",
        "On SST-2, CoLA and STS-B, the projection ratio selects b_v whatever the amount of data",
        "Fig. 4",
        selects("projection", "value"),
        FIG4,
        (*TO_HIGH, "all"),
    ),
    _over_regimes(
        "magnitude-errs-most-with-little-data",
        "On SST-2, selecting b_q, as Magnitude does, loses most with little data",
        gap_grows(-1),
        "sst2",
    ),
    _over_regimes(
        "projection-follows-sst2",
        "On SST-2, the projection scores of b_v and b_q come closer with more data, as their performances do",
        gap_grows(-1, "projection"),
        "sst2",
    ),
    _over_regimes(
        "projection-follows-cola",
        "On CoLA, the gap between the projection scores of b_v and b_q follows the gap in performance",
        score_gap_follows("projection"),
        "cola",
    ),
    _over_regimes(
        "projection-follows-stsb",
        "On STS-B, the gap between the projection scores of b_v and b_q grows from low to medium data, as the gap in "
        "performance does",
        gap_grows(1, "projection"),
        "stsb",
        ("low", "medium"),
    ),
    _over_regimes(
        "magnitude-does-not-follow-stsb",
        "On STS-B, the gap between the Magnitude scores of b_v and b_q does not grow from low to medium data, unlike "
        "the gap in performance",
        gap_grows(1, "magnitude", follows=False),
        "stsb",
        ("low", "medium"),
    ),
    _table2(
        "value-matches-all-biases",
        "§3.3, Table 2",
        "With little data, tuning b_v is comparable with tuning all biases",
        comparable("value", "all_biases"),
    ),
    _table2(
        "value-matches-full",
        "§3.3, Table 2",
        "With little data, tuning b_v is comparable with tuning all parameters",
        comparable("value", "full"),
    ),
    _table2(
        "value-beats-random",
        "§3.3, Table 2",
        "Tuning b_v scores higher than tuning as many randomly drawn parameters",
        scores_higher("value", "random"),
    ),
    Claim(
        "value-is-small",
        "§3.3, Table 2",
        "b_v is 0.01 % of the parameters, and all biases are nearly nine times as many",
        "03_efficiency",
        "Table 2",
        "counts of parameters",
        in_variant(is_small(0.01, 9), efficiency.CHOSEN, efficiency.PAPER),
    ),
    Claim(
        "value-is-faster",
        "§3.3, Table 2",
        "Tuning b_v takes less time than tuning all biases, all parameters or randomly drawn ones",
        "03_efficiency",
        "Table 2",
        "RTE, low data: timings in turns",
        timed=is_faster("value", ("all_biases", "full", "random"), "rte"),
    ),
    Claim(
        "tasks-move-value-apart",
        "§3.3",
        "The b_v tuned on SST-2 and the b_v tuned on RTE are dissimilar (cosine 0.18, angle 79.5°)",
        "03_efficiency",
        "Table 3",
        "b_v tuned on RTE and on SST-2 over several seeds",
        lambda comparisons: lie_apart([c for c in comparisons if c.task in ("rte", "sst2") and c.regime == "low"]),
    ),
    _table3(
        "value-is-task-specific",
        "§3.3, Table 3",
        "A model with the b_v of the other task scores lower than one with the task's own, on SST-2 and on RTE",
        scores_higher(efficiency.OWN, efficiency.OTHER),
    ),
    _table3(
        "merging-helps",
        "§3.3, Table 3",
        "The average of both tasks' b_v scores higher than the other task's b_v, on SST-2 and on RTE",
        scores_higher(efficiency.MERGED, efficiency.OTHER),
    ),
    _table4(
        "value-beats-query-beats-key-new-tasks",
        "b_v scores higher than b_q and b_q higher than b_k on CB and WiC too",
        all_of(scores_higher("value", "query"), scores_higher("query", "key")),
        ("cb", "wic"),
        "first",
    ),
    _table4(
        "value-beats-query-other-encoders",
        "b_v scores higher than b_q and b_k on other encoders too",
        all_of(scores_higher("value", "query"), scores_higher("value", "key")),
        ("sst2", "rte", "cb", "wic"),
        "further",
    ),
    _rates(
        "projection-selects-value-any-rate",
        "§3.4",
        "The projection ratio selects b_v at every learning rate",
        "Learning rates",
        "CB and WiC: all biases at several learning rates",
        selects("projection", "value"),
    ),
    _rates(
        "score-gap-follows-rate",
        "§3.4",
        "On CB, a higher learning rate widens the gap between the projection scores of b_v and b_q, and the gap in "
        "performance with it",
        "Learning rates",
        "CB: all biases, b_v and b_q at several learning rates",
        gap_grows(1, "projection", along=by_rate),
        ("cb",),
    ),
    *(
        _rates(
            f"divergence-helps-{task}",
            "§3.4",
            f"On {title}, where b_v diverges further (a higher projection score at a higher rate), b_v scores higher",
            "Learning rates",
            f"{title}: all biases and b_v at several learning rates",
            score_rises_with("projection", "value"),
            (task,),
        )
        for task, title in (("cb", "CB"), ("wic", "WiC"))
    ),
    _rates(
        "value-against-all-biases-by-rate",
        "§3.4",
        "On CB, b_v surpasses all biases at learning rate 1e-3 and falls short of them at 1e-4",
        "Learning rates",
        "CB: b_v and all biases at both rates",
        all_of(
            at_rate(scores_higher("value", "all_biases"), 1e-3),
            at_rate(scores_higher("all_biases", "value"), 1e-4),
        ),
        ("cb",),
    ),
    _rates(
        "value-improves-with-epochs",
        "§3.4",
        "On CB, b_v improves with more epochs, and is then comparable with all biases",
        EPOCHS,
        "CB: learning curves of b_v and all biases",
        at_rate(all_of(improves_with_epochs("value"), comparable("value", "all_biases")), 1e-3),
        ("cb",),
    ),
    _rates(
        "bad-rate-epochs-do-not-help",
        "§3.4",
        "On CB, more epochs help b_v less at an inappropriate (lower) learning rate",
        EPOCHS,
        "CB: learning curves of b_v at two learning rates",
        gains_less_at_the_low_rate("value"),
        ("cb",),
    ),
    _table5(
        "value-best-decoders",
        "In decoders too, b_v scores highest among b_v, b_q and b_k",
        all_of(scores_higher("value", "query"), scores_higher("value", "key")),
        "b_v, b_q and b_k on decoder tasks",
        efficiency.PAPER,
    ),
    *(
        _table5(
            f"value-matches-{method}",
            f"b_v is competitive with {name} with a {part} of its parameters",
            all_of(comparable("value", method), trains_fewer("value", method, times)),
            f"b_v and {name} on decoder tasks",
            variant,
            suffix,
        )
        for method, name, part, times in (("lora", "LoRA", "thirtieth", 30), ("prefix", "prefix tuning", "tenth", 10))
        for variant, suffix in ((efficiency.PAPER, ""), (efficiency.CHOSEN, "-chosen-rate"))
    ),
    _table5(
        "in-context-learning-is-worse",
        "In-context learning scores lower than b_v",
        scores_higher("value", "in_context"),
        "b_v and in-context learning on decoder tasks",
        efficiency.PAPER,
    ),
    _table5(
        "zero-shot-is-worse",
        "Zero-shot scores lower than b_v",
        scores_higher("value", "zero_shot"),
        "b_v and zero-shot on decoder tasks",
        efficiency.PAPER,
    ),
)
