"""What the paper claims of GLUE and of data regimes (§3.2, Table 1, Fig. 4)."""

from collections.abc import Sequence

from beft_lib.chapters import paper
from beft_lib.chapters.plans import CHOSEN
from beft_lib.chapters.questions import FINDS, FOLLOWS, ORDER, RIVALS
from beft_lib.evidence.claims.claim import Claim
from beft_lib.evidence.claims.finding import Predicate
from beft_lib.evidence.claims.performance import loses_less, scores_higher, selection_scores_higher
from beft_lib.evidence.claims.printed import averages, each_higher, grows
from beft_lib.evidence.claims.scope import at_fair_rates_too, within
from beft_lib.evidence.claims.selection import ranking_changes, ranking_stays, selects
from beft_lib.evidence.claims.trends import gap_grows, gap_is_widest_with_least_data, score_gap_follows
from beft_lib.tasks import title
from beft_lib.tuning import methods

GLUE = ("sst2", "rte", "qqp", "qnli", "mnli", "cola", "mrpc", "stsb")
FIG4 = ("sst2", "cola", "stsb")
TO_HIGH = ("low", "medium", "high")
BEYOND_LOW = ("medium", "high", "all")


def glue(*, predicate: Predicate, tasks: Sequence[str] = GLUE, regimes: Sequence[str] = TO_HIGH, **told) -> Claim:
    """Judged in the paper's way, one learning rate for all methods; and, where it was run, at rates of their own."""
    which = "the GLUE tasks" if tasks == GLUE else ", ".join(map(title, tasks))
    needs = f"{which}, {' to '.join(dict.fromkeys((regimes[0], regimes[-1])))} data: all biases and each term alone"
    judged = at_fair_rates_too(within(predicate, tasks, regimes), "", CHOSEN)
    return Claim(notebook="02_glue_regimes", needs=needs, predicate=judged, **told)


def over_regimes(
    *,
    task: str,
    predicate: Predicate,
    regimes: Sequence[str] = (*TO_HIGH, "all"),
    section: str = "§3.2, Fig. 4",
    question: str = RIVALS,
    **told,
) -> Claim:
    about = {"section": section, "shown": "Fig. 4", "question": question}
    return glue(predicate=predicate, tasks=(task,), regimes=regimes, **about | told)


TABLE1 = paper.numbers("table1")


def reported(first: str, second: str) -> str:
    """The paper's differences over the 27 cells of Table 1."""
    cells = [[value for regime in TO_HIGH for value in TABLE1[regime][method]] for method in (first, second)]
    return f"{paper.span(*cells)} points in 27 cells, one seed"


def lost() -> str:
    """What selecting b_q loses by the paper's Table 1, where it says that Magnitude selects it."""
    columns = [TABLE1["columns"].index(task) for task in ("SST-2", "CoLA")]
    both = [[TABLE1[regime][method][at] for regime in TO_HIGH for at in columns] for method in ("value", "query")]
    return f"b_v scores {paper.span(*both)} points higher there, one seed"


def cells(method: str) -> dict[str, float]:
    """The printed scores of a method, by column and amount of data."""
    return {
        f"{column} with {regime} data": score
        for regime in TO_HIGH
        for column, score in zip(TABLE1["columns"], TABLE1[regime][method], strict=True)
    }


def gap(column: str, regimes: Sequence[str]) -> dict[str, float]:
    """The printed differences b_v − b_q of a column, by amount of data."""
    value, query = cells("value"), cells("query")
    return {f"{r} data": value[name] - query[name] for r in regimes for name in [f"{column} with {r} data"]}


def exact(*, question: str = ORDER, section: str = "Table 1", **told) -> Claim:
    """Decided by the paper's own Table 1: no run is needed."""
    return Claim(
        question=question,
        section=section,
        needs="the paper's table",
        printed_model="BERT-base",
        notebook="02_glue_regimes",
        shown="Table 1",
        **told,
    )


def printed_averages():
    rows = [(regime, method) for regime in TO_HIGH for method in ("value", "query", "key")]
    names = {(r, m): f"{methods.title(m)} with {r} data" for r, m in rows}
    printed = {name: TABLE1[r]["average"][m] for (r, m), name in names.items()}
    return averages({name: TABLE1[r][m] for (r, m), name in names.items()}, printed)


CLAIMS: tuple[Claim, ...] = (
    glue(
        id="fisher-static",
        section="§1, §3.2",
        question=RIVALS,
        paper="static on SST-2, CoLA and STS-B, BERT-base",
        text="Fisher ranks the bias terms alike from low to all data",
        shown="Fig. 4",
        predicate=ranking_stays("fisher"),
        tasks=FIG4,
        regimes=(*TO_HIGH, "all"),
    ),
    glue(
        id="projection-ranking-changes",
        section="§1, §3.2",
        question=RIVALS,
        paper="dynamic on SST-2, CoLA and STS-B, BERT-base, where Fisher is static",
        text="The projection ratio ranks the bias terms otherwise as data grows, which Fisher does not",
        shown="Fig. 4",
        predicate=ranking_changes("projection", regimes=4),
        tasks=FIG4,
        regimes=(*TO_HIGH, "all"),
    ),
    glue(
        id="value-beats-query",
        section="§3.2, Table 1",
        question=ORDER,
        paper=reported("value", "query"),
        text="Tuning b_v scores higher than tuning b_q on every GLUE task, from low to high data",
        shown="Table 1",
        predicate=scores_higher("value", "query"),
    ),
    glue(
        id="query-beats-key",
        section="§3.2, Table 1",
        question=ORDER,
        paper=reported("query", "key"),
        text="Tuning b_k scores lower than tuning b_q on every GLUE task, from low to high data",
        shown="Table 1",
        predicate=scores_higher("query", "key"),
    ),
    glue(
        id="projection-selects-best",
        section="§3.2, Table 1",
        question=FINDS,
        paper="b_v selected and best in 27 of 27 cells",
        text="The projection ratio selects the term that scores highest, on every GLUE task, from low to high data",
        shown="Table 1",
        predicate=selection_scores_higher("projection"),
    ),
    glue(
        id="projection-selects-value",
        section="§3.2, Table 1",
        question=FINDS,
        paper="b_v in 27 of 27 cells",
        text="The projection ratio selects b_v on every GLUE task, from low to high data",
        shown="Table 1",
        predicate=selects("projection", "value"),
    ),
    glue(
        id="projection-loses-less-than-magnitude",
        section="§1, Fig. 4",
        question=FINDS,
        paper=f"Magnitude selects b_q on SST-2 and CoLA: {lost()}",
        text="Selecting by the projection ratio outperforms selecting by Magnitude",
        shown="Scoreboard",
        predicate=loses_less("projection", "magnitude"),
    ),
    glue(
        id="projection-loses-less-than-fisher",
        section="§1, Fig. 4",
        question=FINDS,
        paper="Fisher, too, selects b_v on SST-2",
        text="Selecting by the projection ratio outperforms selecting by Fisher",
        shown="Scoreboard",
        predicate=loses_less("projection", "fisher"),
    ),
    over_regimes(
        id="magnitude-selects-query-sst2",
        only_of="bert-base",
        text="On SST-2, Magnitude selects b_q whatever the amount of data",
        predicate=selects("magnitude", "query"),
        task="sst2",
    ),
    over_regimes(
        id="magnitude-selects-query-cola",
        only_of="bert-base",
        text="On CoLA, Magnitude selects b_q whatever the amount of data",
        predicate=selects("magnitude", "query"),
        task="cola",
    ),
    over_regimes(
        id="magnitude-selects-value-stsb-low",
        only_of="bert-base",
        text="On STS-B with little data, Magnitude selects b_v",
        predicate=selects("magnitude", "value"),
        task="stsb",
        regimes=("low",),
    ),
    over_regimes(
        id="magnitude-selects-query-stsb",
        only_of="bert-base",
        text="On STS-B, Magnitude selects b_q from medium data upwards",
        predicate=selects("magnitude", "query"),
        task="stsb",
        regimes=BEYOND_LOW,
    ),
    over_regimes(
        id="magnitude-static-cola",
        only_of="bert-base",
        text="On CoLA, Magnitude ranks the bias terms alike whatever the amount of data",
        predicate=ranking_stays("magnitude"),
        task="cola",
    ),
    over_regimes(
        id="fisher-selects-value-sst2",
        only_of="bert-base",
        text="On SST-2, Fisher selects b_v whatever the amount of data",
        predicate=selects("fisher", "value"),
        task="sst2",
    ),
    glue(
        id="value-beats-query-fig4",
        section="§3.2, Fig. 4",
        question=ORDER,
        paper="higher in all four regimes of three tasks, in a figure",
        text="On SST-2, CoLA and STS-B, tuning b_v scores higher than tuning b_q whatever the amount of data",
        shown="Fig. 4",
        predicate=scores_higher("value", "query"),
        tasks=FIG4,
        regimes=(*TO_HIGH, "all"),
    ),
    glue(
        id="projection-selects-value-fig4",
        section="§3.2, Fig. 4",
        question=FINDS,
        paper="b_v in all four regimes of three tasks",
        text="On SST-2, CoLA and STS-B, the projection ratio selects b_v whatever the amount of data",
        shown="Fig. 4",
        predicate=selects("projection", "value"),
        tasks=FIG4,
        regimes=(*TO_HIGH, "all"),
    ),
    over_regimes(
        id="magnitude-errs-most-with-little-data",
        paper="5.8 points with low data, 1.8 with medium, 2.3 with high, one seed",
        text="On SST-2, selecting b_q, as Magnitude does, loses most with little data",
        predicate=gap_is_widest_with_least_data(),
        task="sst2",
    ),
    over_regimes(
        id="projection-follows-sst2",
        question=FOLLOWS,
        only_of="bert-base",
        text="On SST-2, the projection scores of b_v and b_q come closer with more data, as their performances do",
        predicate=gap_grows(-1, "projection"),
        task="sst2",
    ),
    over_regimes(
        id="projection-follows-cola",
        question=FOLLOWS,
        only_of="bert-base",
        text="On CoLA, the gap between the projection scores of b_v and b_q follows the gap in performance",
        predicate=score_gap_follows("projection"),
        task="cola",
    ),
    over_regimes(
        id="projection-follows-stsb",
        question=FOLLOWS,
        only_of="bert-base",
        text="On STS-B, the gap between the projection scores of b_v and b_q grows from low to medium data, "
        "as the gap in "
        "performance does",
        predicate=gap_grows(1, "projection"),
        task="stsb",
        regimes=("low", "medium"),
    ),
    over_regimes(
        id="magnitude-does-not-follow-stsb",
        question=FOLLOWS,
        only_of="bert-base",
        text="On STS-B, the gap between the Magnitude scores of b_v and b_q does not grow from low to medium "
        "data, unlike "
        "the gap in performance",
        predicate=gap_grows(1, "magnitude", follows=False),
        task="stsb",
        regimes=("low", "medium"),
    ),
    glue(
        id="projection-follows",
        section="§2.2, §3.2",
        question=FOLLOWS,
        text="The projection ratio is dynamic: on SST-2, CoLA and STS-B, its gap between b_v and b_q follows "
        "the gap in performance over regimes",
        shown="Fig. 4",
        predicate=score_gap_follows("projection"),
        tasks=FIG4,
        regimes=(*TO_HIGH, "all"),
    ),
    *(
        exact(
            id=f"table1-{name}",
            text=f"In the paper's Table 1, {methods.title(first)} scores higher than {methods.title(second)} in every "
            "cell",
            paper=reported(first, second),
            printed=lambda first=first, second=second: each_higher(cells(first), cells(second)),
            decided_by=f"each of 27 printed differences {methods.title(first)} − {methods.title(second)} is above 0",
        )
        for name, first, second in (("value-best", "value", "query"), ("query-beats-key", "query", "key"))
    ),
    *(
        exact(
            id=f"table1-gap-{id}",
            section="§3.2, Table 1",
            question=FOLLOWS,
            text=f"In the paper's Table 1, b_v and b_q on {column} {does}",
            paper="so it says of Fig. 4",
            printed=lambda column=column, sign=sign, regimes=regimes: grows(gap(column, regimes), sign),
            decided_by=f"the printed difference b_v − b_q {'grows' if sign > 0 else 'shrinks'} from {regimes[0]} to "
            f"{regimes[-1]} data",
        )
        for id, column, sign, regimes, does in (
            ("sst2", "SST-2", -1, TO_HIGH, "come closer from low to high data"),
            ("stsb", "STS-B", 1, ("low", "medium"), "move apart from low to medium data"),
        )
    ),
    exact(
        id="table1-averages",
        text="The averages printed in Table 1 are those of its cells",
        paper="64.7 for b_q with high data, where the cells as printed give 64.8",
        printed=printed_averages,
        decided_by="each average is the mean of the nine cells of its row, as far as their rounding allows",
    ),
)
