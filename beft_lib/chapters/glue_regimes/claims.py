"""What the paper claims of GLUE and of data regimes (§3.2, Table 1, Fig. 4)."""

from collections.abc import Sequence

from beft_lib.evidence.claims.claim import Claim
from beft_lib.evidence.claims.finding import Predicate
from beft_lib.evidence.claims.performance import loses_less, scores_higher, selection_scores_higher
from beft_lib.evidence.claims.scope import within
from beft_lib.evidence.claims.selection import ranking_stays, selects
from beft_lib.evidence.claims.trends import (
    gap_grows,
    score_gap_follows,
)

GLUE = ("sst2", "rte", "qqp", "qnli", "mnli", "cola", "mrpc", "stsb")
FIG4 = ("sst2", "cola", "stsb")
TO_HIGH = ("low", "medium", "high")
BEYOND_LOW = ("medium", "high", "all")


def glue(*, id, section, text, shown, predicate, tasks: Sequence[str] = GLUE, regimes=TO_HIGH) -> Claim:
    which = "the GLUE tasks" if tasks == GLUE else ", ".join(tasks)
    needs = f"{which}, {' to '.join(dict.fromkeys((regimes[0], regimes[-1])))} data: all biases and each term alone"
    return Claim(
        id=id,
        section=section,
        text=text,
        notebook="02_glue_regimes",
        shown=shown,
        needs=needs,
        predicate=within(predicate, tasks, regimes),
    )


def over_regimes(*, id: str, text: str, predicate: Predicate, task: str, regimes=(*TO_HIGH, "all")) -> Claim:
    return glue(
        id=id, section="§3.2, Fig. 4", text=text, shown="Fig. 4", predicate=predicate, tasks=(task,), regimes=regimes
    )


CLAIMS: tuple[Claim, ...] = (
    glue(
        id="fisher-static",
        section="§1, §3.2",
        text="Fisher ranks the bias terms alike from low to all data",
        shown="Fig. 4",
        predicate=ranking_stays("fisher"),
        tasks=FIG4,
        regimes=(*TO_HIGH, "all"),
    ),
    glue(
        id="value-beats-query",
        section="§3.2, Table 1",
        text="Tuning b_v scores higher than tuning b_q on every GLUE task, from low to high data",
        shown="Table 1",
        predicate=scores_higher("value", "query"),
    ),
    glue(
        id="query-beats-key",
        section="§3.2, Table 1",
        text="Tuning b_k always scores lower than tuning b_q",
        shown="Table 1",
        predicate=scores_higher("query", "key"),
    ),
    glue(
        id="projection-selects-best",
        section="§3.2, Table 1",
        text="The projection ratio selects the term that scores highest, on every task and with any amount of data",
        shown="Table 1",
        predicate=selection_scores_higher("projection"),
    ),
    glue(
        id="projection-selects-value",
        section="§3.2, Table 1",
        text="The projection ratio selects b_v on every task and with any amount of data",
        shown="Table 1",
        predicate=selects("projection", "value"),
    ),
    glue(
        id="projection-loses-less-than-magnitude",
        section="§1, Fig. 4",
        text="Selecting by the projection ratio outperforms selecting by Magnitude",
        shown="Scoreboard",
        predicate=loses_less("projection", "magnitude"),
    ),
    glue(
        id="projection-loses-less-than-fisher",
        section="§1, Fig. 4",
        text="Selecting by the projection ratio outperforms selecting by Fisher",
        shown="Scoreboard",
        predicate=loses_less("projection", "fisher"),
    ),
    over_regimes(
        id="magnitude-selects-query-sst2",
        text="On SST-2, Magnitude selects b_q whatever the amount of data",
        predicate=selects("magnitude", "query"),
        task="sst2",
    ),
    over_regimes(
        id="magnitude-selects-query-cola",
        text="On CoLA, Magnitude selects b_q whatever the amount of data",
        predicate=selects("magnitude", "query"),
        task="cola",
    ),
    over_regimes(
        id="magnitude-selects-value-stsb-low",
        text="On STS-B with little data, Magnitude selects b_v",
        predicate=selects("magnitude", "value"),
        task="stsb",
        regimes=("low",),
    ),
    over_regimes(
        id="magnitude-selects-query-stsb",
        text="On STS-B, Magnitude selects b_q from medium data upwards",
        predicate=selects("magnitude", "query"),
        task="stsb",
        regimes=BEYOND_LOW,
    ),
    over_regimes(
        id="magnitude-static-cola",
        text="On CoLA, Magnitude ranks the bias terms alike whatever the amount of data",
        predicate=ranking_stays("magnitude"),
        task="cola",
    ),
    over_regimes(
        id="fisher-selects-value-sst2",
        text="On SST-2, Fisher selects b_v whatever the amount of data",
        predicate=selects("fisher", "value"),
        task="sst2",
    ),
    glue(
        id="value-beats-query-fig4",
        section="§3.2, Fig. 4",
        text="On SST-2, CoLA and STS-B, tuning b_v scores higher than tuning b_q whatever the amount of data",
        shown="Fig. 4",
        predicate=scores_higher("value", "query"),
        tasks=FIG4,
        regimes=(*TO_HIGH, "all"),
    ),
    glue(
        id="projection-selects-value-fig4",
        section="§3.2, Fig. 4",
        text="On SST-2, CoLA and STS-B, the projection ratio selects b_v whatever the amount of data",
        shown="Fig. 4",
        predicate=selects("projection", "value"),
        tasks=FIG4,
        regimes=(*TO_HIGH, "all"),
    ),
    over_regimes(
        id="magnitude-errs-most-with-little-data",
        text="On SST-2, selecting b_q, as Magnitude does, loses most with little data",
        predicate=gap_grows(-1),
        task="sst2",
    ),
    over_regimes(
        id="projection-follows-sst2",
        text="On SST-2, the projection scores of b_v and b_q come closer with more data, as their performances do",
        predicate=gap_grows(-1, "projection"),
        task="sst2",
    ),
    over_regimes(
        id="projection-follows-cola",
        text="On CoLA, the gap between the projection scores of b_v and b_q follows the gap in performance",
        predicate=score_gap_follows("projection"),
        task="cola",
    ),
    over_regimes(
        id="projection-follows-stsb",
        text="On STS-B, the gap between the projection scores of b_v and b_q grows from low to medium data, "
        "as the gap in "
        "performance does",
        predicate=gap_grows(1, "projection"),
        task="stsb",
        regimes=("low", "medium"),
    ),
    over_regimes(
        id="magnitude-does-not-follow-stsb",
        text="On STS-B, the gap between the Magnitude scores of b_v and b_q does not grow from low to medium "
        "data, unlike "
        "the gap in performance",
        predicate=gap_grows(1, "magnitude", follows=False),
        task="stsb",
        regimes=("low", "medium"),
    ),
)
