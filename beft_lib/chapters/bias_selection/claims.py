"""What the paper claims of SST-2 with little data (§1, Fig. 1)."""

from beft_lib.evidence.claims.claim import Claim
from beft_lib.evidence.claims.finding import Predicate
from beft_lib.evidence.claims.performance import scores_higher, selection_scores_higher
from beft_lib.evidence.claims.scope import within
from beft_lib.evidence.claims.selection import selects


def sst2_low(*, id: str, section: str, text: str, predicate: Predicate) -> Claim:
    needs = "SST-2, low data: all biases and each term alone"
    return Claim(
        id=id,
        section=section,
        text=text,
        notebook="01_bias_selection",
        shown="Fig. 1",
        needs=needs,
        predicate=within(predicate, ("sst2",), ("low",)),
    )


CLAIMS: tuple[Claim, ...] = (
    sst2_low(
        id="projection-selects-best-sst2",
        section="§1, Fig. 1",
        text="On SST-2 with little data, the term that the projection ratio ranks first scores higher than "
        "the other two",
        predicate=selection_scores_higher("projection"),
    ),
    sst2_low(
        id="magnitude-selects-query-sst2-low",
        section="§1, Fig. 1",
        text="On SST-2 with little data, Magnitude selects b_q",
        predicate=selects("magnitude", "query"),
    ),
    sst2_low(
        id="value-beats-query-sst2-low",
        section="§1, Fig. 1",
        text="On SST-2 with little data, tuning b_v scores higher than tuning b_q",
        predicate=scores_higher("value", "query"),
    ),
    sst2_low(
        id="query-beats-key-sst2-low",
        section="§1, Fig. 1",
        text="On SST-2 with little data, tuning b_q scores higher than tuning b_k",
        predicate=scores_higher("query", "key"),
    ),
)
