"""What the paper claims of costs, comparability and merging (§3.3, Tables 2 and 3)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from beft_lib import tasks
from beft_lib.chapters import counts, paper
from beft_lib.chapters.efficiency import plan as efficiency
from beft_lib.chapters.plans import CHOSEN, PAPER
from beft_lib.chapters.questions import BIGGER, MERGING
from beft_lib.evidence import Comparison, cosines, stats
from beft_lib.evidence.claims.claim import Claim
from beft_lib.evidence.claims.costs import is_faster
from beft_lib.evidence.claims.finding import LEANS, NOTHING_LEARNED, SUPPORTED, Finding, Predicate, by_interval, lean
from beft_lib.evidence.claims.performance import comparable, scores_higher
from beft_lib.evidence.claims.printed import rounds_to, times_as_many
from beft_lib.evidence.claims.scope import at_fair_rates_too, in_variant, within

DISSIMILAR = 0.5  # the cosine of 60°: what lies closer than that is not called dissimilar
TABLE2, TABLE3 = paper.numbers("table2"), paper.numbers("table3")


def table2(*, id: str, section: str, text: str, predicate: Predicate, than: tuple[str, str]) -> Claim:
    """Judged in the paper's way, at the authors' learning rates; where rates of their own say otherwise, so it says."""
    first, second = (TABLE2["accuracy"].get(method) for method in than)
    return Claim(
        id=id,
        section=section,
        question=BIGGER,
        text=text,
        notebook="03_efficiency",
        shown="Table 2",
        needs="RTE, low data: every method",
        paper=f"{paper.against(first, second)} points",
        predicate=at_fair_rates_too(within(predicate, ("rte",), ("low",)), PAPER, CHOSEN),
    )


def table3(*, id: str, section: str, text: str, predicate: Predicate, reported: str) -> Claim:
    """Judged with the head of the evaluated task; whether that task was learned is seen in Table 2's runs of it."""
    inner = in_variant(within(predicate, ("rte", "sst2"), ("low",)), efficiency.TASK_HEADS)

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        known = {c.task: c for c in comparisons if c.variant in (PAPER, CHOSEN)}
        return inner([replace(c, witness=known.get(c.task)) for c in comparisons])

    return Claim(
        id=id,
        section=section,
        question=MERGING,
        text=text,
        notebook="03_efficiency",
        shown="Table 3",
        needs="b_v tuned on RTE and on SST-2, and their average, on both tasks",
        paper=reported,
        predicate=Predicate(inner.rule, judge),
    )


def reported(first: str, second: str) -> str:
    """The paper's differences on both tasks."""
    said = [f"{tasks.title(t)} {paper.against(TABLE3[t][first], TABLE3[t][second])}" for t in ("sst2", "rte")]
    return f"{', '.join(said)} points"


def lie_apart(comparisons: Sequence[Comparison]) -> Finding | None:
    """The b_v tuned on two tasks have a cosine below `DISSIMILAR`, with the whole interval over seeds.

    No verdict unless, for either task, the changes of two seeds of *that* task are decidedly closer than those of the
    two tasks: else the dissimilarity says nothing of tasks. The effect is the cosine of the tuned b_v.
    """

    def found(variant: str, *arms: str) -> pd.DataFrame:
        own = [c for c in comparisons if c.variant == variant]
        return cosines.alignments([s for c in own for (arm, _), s in c.specs.items() if not arms or arm in arms])

    both = found(efficiency.TASK_HEADS, efficiency.MERGED)
    cosine = cosines.cosine(both, of="tuned")
    if np.isnan(cosine.mean):
        return None
    closer = cosines.closer(found(efficiency.KIN), found(efficiency.APART))
    reason = (
        f"dissimilar if below {DISSIMILAR:g}; the angle is {cosines.angle(cosine.mean):.1f}°; cosine of their changes "
        f"{cosines.cosine(both).text(2)}, random directions 0 ± {cosines.null(both):.2f}; two seeds of one task are "
        "closer than of two tasks by " + (", ".join(f"{t} {e.text(2)}" for t, e in closer.items()) or "–")
    )
    below = stats.Estimate(DISSIMILAR - cosine.mean, DISSIMILAR - cosine.high, DISSIMILAR - cosine.low, cosine.n)
    verdict = by_interval(below)
    idle = [c for c in comparisons if c.variant == PAPER and c.nothing_learned]
    if verdict == SUPPORTED and {by_interval(estimate) for estimate in closer.values()} != {SUPPORTED}:
        verdict = LEANS
        if idle:
            verdict, reason = NOTHING_LEARNED, f"{tasks.title(idle[0].task)}: {idle[0].nothing_learned}; {reason}"
        else:
            reason = f"tasks are no further apart than seeds; {reason}"
    elif verdict == LEANS:
        reason = f"{lean(below)}; {reason}"
    rests_on = tuple(c for c in comparisons if c.variant == efficiency.TASK_HEADS)
    scope, methods = "RTE and SST-2, low data", ("value",)
    return Finding(verdict, cosine, "cosine", reason, scope=scope, rests_on=rests_on, methods=methods, idle=tuple(idle))


def merged(comparisons: Sequence[Comparison]) -> Finding | None:
    return lie_apart([c for c in comparisons if c.task in ("rte", "sst2") and c.regime == "low"])


CLAIMS: tuple[Claim, ...] = (
    table2(
        id="all-biases-match-full",
        section="§1, §3.3",
        text="With little data, tuning all biases is comparable with tuning all parameters",
        predicate=comparable("all_biases", "full"),
        than=("all_biases", "full"),
    ),
    table2(
        id="value-matches-all-biases",
        section="§3.3, Table 2",
        text="With little data, tuning b_v is comparable with tuning all biases",
        predicate=comparable("value", "all_biases"),
        than=("value", "all_biases"),
    ),
    table2(
        id="value-matches-full",
        section="§3.3, Table 2",
        text="With little data, tuning b_v is comparable with tuning all parameters",
        predicate=comparable("value", "full"),
        than=("value", "full"),
    ),
    table2(
        id="value-beats-random",
        section="§3.3, Table 2",
        text="Tuning b_v scores higher than tuning as many randomly drawn parameters",
        predicate=scores_higher("value", "random"),
        than=("value", "random"),
    ),
    Claim(
        id="value-is-small",
        section="§3.3, Table 2",
        question=BIGGER,
        text="b_v is 0.01 % of the parameters of BERT-base",
        notebook="03_efficiency",
        shown="Table 2",
        needs="BERT-base's configuration",
        paper=f"{TABLE2['share']['value']:.2f} %",
        printed=lambda: rounds_to(counts.BERT_BASE.term, counts.bert(counts.BERT_BASE), TABLE2["share"]["value"]),
        printed_model="BERT-base",
        decided_by="b_v's scalars over all parameters, rounded to two digits, without the head, which always trains",
    ),
    Claim(
        id="all-biases-are-nine-times",
        section="§3.3, Table 2",
        question=BIGGER,
        text="All biases of BERT-base are nearly nine times as many parameters as b_v",
        notebook="03_efficiency",
        shown="Table 2",
        needs="BERT-base's configuration",
        paper=f"nearly {TABLE2['claimed_times']}×, the ratio of the shares as rounded, which is less than b_v saves",
        printed=lambda: times_as_many(
            counts.bert_biases(counts.BERT_BASE), counts.BERT_BASE.term, TABLE2["claimed_times"]
        ),
        printed_model="BERT-base",
        decided_by="scalars of all biases over those of b_v, within 15 % of 9",
    ),
    Claim(
        id="value-is-faster",
        section="§3.3, Table 2",
        question=BIGGER,
        text="Tuning b_v takes less time than tuning all biases, all parameters or randomly drawn ones",
        notebook="03_efficiency",
        shown="Table 2",
        needs="RTE, low data: timings in turns",
        paper="132.9 s against 144.9, 206.1 and 659.6",
        timed=is_faster("value", ("all_biases", "full", "random"), "rte"),
        decided_by="time in the training loop, each other method's over b_v's within a turn, is above 1",
    ),
    Claim(
        id="tasks-move-value-apart",
        section="§3.3",
        question=MERGING,
        text="The b_v tuned on SST-2 and the b_v tuned on RTE are dissimilar",
        notebook="03_efficiency",
        shown="Table 3",
        needs="b_v tuned on RTE and on SST-2 over several seeds",
        paper=f"cosine {TABLE3['cosine']}, angle {TABLE3['angle']}°",
        predicate=Predicate(
            f"their cosine is below {DISSIMILAR:g}, and either task's b_v of two seeds lie closer than two tasks'",
            merged,
        ),
    ),
    table3(
        id="value-is-task-specific",
        section="§3.3, Table 3",
        text="A model with the b_v of the other task scores lower than one with the task's own, on SST-2 and on RTE",
        predicate=scores_higher(efficiency.OWN, efficiency.OTHER),
        reported=reported("own", "other"),
    ),
    table3(
        id="merging-helps",
        section="§3.3, Table 3",
        text="The average of both tasks' b_v scores higher than the other task's b_v, on SST-2 and on RTE",
        predicate=scores_higher(efficiency.MERGED, efficiency.OTHER),
        reported=reported("merged", "other"),
    ),
)
