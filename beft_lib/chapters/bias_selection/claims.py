"""What the paper claims of SST-2 with little data (§1, Fig. 1)."""

from beft_lib.chapters import paper
from beft_lib.chapters.questions import FINDS, ORDER, RIVALS
from beft_lib.evidence.claims.claim import Claim
from beft_lib.evidence.claims.finding import Predicate
from beft_lib.evidence.claims.performance import scores_higher, selection_scores_higher
from beft_lib.evidence.claims.scope import within
from beft_lib.evidence.claims.selection import selects


def sst2_low(*, id: str, question: str, text: str, predicate: Predicate, paper: str, **more) -> Claim:
    return Claim(
        id=id,
        section="§1, Fig. 1",
        question=question,
        text=text,
        notebook="01_bias_selection",
        shown="Fig. 1",
        needs="SST-2, low data: all biases and each term alone",
        paper=paper,
        predicate=within(predicate, ("sst2",), ("low",)),
        **more,
    )


FIG1 = paper.numbers("fig1")["accuracy"]

CLAIMS: tuple[Claim, ...] = (
    sst2_low(
        id="projection-selects-best-sst2",
        question=FINDS,
        text="On SST-2 with little data, the term that the projection ratio ranks first scores higher than "
        "the other two",
        paper=f"b_v first; {paper.against(FIG1['value'], FIG1['query'])} points, one seed",
        predicate=selection_scores_higher("projection"),
    ),
    sst2_low(
        id="magnitude-selects-query-sst2-low",
        question=RIVALS,
        text="On SST-2 with little data, Magnitude selects b_q",
        paper="b_q on BERT-base, one seed",
        predicate=selects("magnitude", "query"),
        only_of="bert-base",
    ),
    sst2_low(
        id="value-beats-query-sst2-low",
        question=ORDER,
        text="On SST-2 with little data, tuning b_v scores higher than tuning b_q",
        paper=f"{paper.against(FIG1['value'], FIG1['query'])} points, one seed",
        predicate=scores_higher("value", "query"),
    ),
    sst2_low(
        id="query-beats-key-sst2-low",
        question=ORDER,
        text="On SST-2 with little data, tuning b_q scores higher than tuning b_k",
        paper=f"{paper.against(FIG1['query'], FIG1['key'])} points, one seed",
        predicate=scores_higher("query", "key"),
    ),
)
