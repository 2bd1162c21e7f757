"""What the paper claims of costs, comparability and merging (§3.3, Tables 2 and 3)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from beft_lib.chapters.efficiency import plan as efficiency
from beft_lib.chapters.plans import CHOSEN, PAPER
from beft_lib.evidence import Comparison, cosines, stats
from beft_lib.evidence.claims.claim import Claim
from beft_lib.evidence.claims.costs import is_faster, is_small
from beft_lib.evidence.claims.finding import INCONCLUSIVE, SUPPORTED, Finding, Predicate, by_interval
from beft_lib.evidence.claims.performance import comparable, scores_higher
from beft_lib.evidence.claims.scope import in_variant, within

DISSIMILAR = 0.5  # the cosine of 60°: what lies closer than that is not called dissimilar


def table2(*, id: str, section: str, text: str, predicate: Predicate) -> Claim:
    """Judged at the learning rates that were chosen for each method, where they were; else at the paper's."""
    judged = in_variant(within(predicate, ("rte",), ("low",)), CHOSEN, PAPER)
    return Claim(
        id=id,
        section=section,
        text=text,
        notebook="03_efficiency",
        shown="Table 2",
        needs="RTE, low data: every method",
        predicate=judged,
    )


def table3(*, id: str, section: str, text: str, predicate: Predicate) -> Claim:
    judged = in_variant(within(predicate, ("rte", "sst2"), ("low",)), efficiency.TASK_HEADS)
    needs = "b_v tuned on RTE and on SST-2, and their average, on both tasks"
    return Claim(
        id=id, section=section, text=text, notebook="03_efficiency", shown="Table 3", needs=needs, predicate=judged
    )


def lie_apart(comparisons: Sequence[Comparison]) -> Finding | None:
    """The b_v tuned on two tasks have a cosine below `DISSIMILAR`, with the whole interval over seeds.

    Inconclusive unless, for either task, the changes of two seeds of *that* task are decidedly closer than those of the
    two tasks: else the dissimilarity says nothing of tasks. The effect is `DISSIMILAR` minus the cosine of the tuned
    b_v.
    """

    def found(variant: str, *arms: str) -> pd.DataFrame:
        own = [c for c in comparisons if c.variant == variant]
        return cosines.alignments([s for c in own for (arm, _), s in c.specs.items() if not arms or arm in arms])

    both = found(efficiency.TASK_HEADS, efficiency.MERGED)
    cosine = cosines.cosine(both, of="tuned")
    if np.isnan(cosine.mean):
        return None
    effect = stats.Estimate(DISSIMILAR - cosine.mean, DISSIMILAR - cosine.high, DISSIMILAR - cosine.low, cosine.n)
    closer = cosines.closer(found(efficiency.KIN), found(efficiency.APART))
    note = (
        f"cosine of the tuned b_v {cosine.text(2)}, {cosines.angle(cosine.mean):.1f}°; of their changes "
        f"{cosines.cosine(both).text(2)}, random directions 0 ± {cosines.null(both):.2f}; two seeds of one task are "
        "closer than of two tasks by " + (", ".join(f"{t} {e.text(2)}" for t, e in closer.items()) or "–")
    )
    verdict = by_interval(effect)
    if verdict == SUPPORTED and {by_interval(estimate) for estimate in closer.values()} != {SUPPORTED}:
        verdict = INCONCLUSIVE
    return Finding(verdict, effect, f"{DISSIMILAR:g} minus the cosine", note)


CLAIMS: tuple[Claim, ...] = (
    table2(
        id="all-biases-match-full",
        section="§1, §3.3",
        text="With little data, tuning all biases is comparable with tuning all parameters",
        predicate=comparable("all_biases", "full"),
    ),
    table2(
        id="value-matches-all-biases",
        section="§3.3, Table 2",
        text="With little data, tuning b_v is comparable with tuning all biases",
        predicate=comparable("value", "all_biases"),
    ),
    table2(
        id="value-matches-full",
        section="§3.3, Table 2",
        text="With little data, tuning b_v is comparable with tuning all parameters",
        predicate=comparable("value", "full"),
    ),
    table2(
        id="value-beats-random",
        section="§3.3, Table 2",
        text="Tuning b_v scores higher than tuning as many randomly drawn parameters",
        predicate=scores_higher("value", "random"),
    ),
    Claim(
        id="value-is-small",
        section="§3.3, Table 2",
        text="b_v is 0.01 % of the parameters, and all biases are nearly nine times as many",
        notebook="03_efficiency",
        shown="Table 2",
        needs="counts of parameters",
        predicate=in_variant(is_small(0.01, 9), CHOSEN, PAPER),
    ),
    Claim(
        id="value-is-faster",
        section="§3.3, Table 2",
        text="Tuning b_v takes less time than tuning all biases, all parameters or randomly drawn ones",
        notebook="03_efficiency",
        shown="Table 2",
        needs="RTE, low data: timings in turns",
        timed=is_faster("value", ("all_biases", "full", "random"), "rte"),
    ),
    Claim(
        id="tasks-move-value-apart",
        section="§3.3",
        text="The b_v tuned on SST-2 and the b_v tuned on RTE are dissimilar (cosine 0.18, angle 79.5°)",
        notebook="03_efficiency",
        shown="Table 3",
        needs="b_v tuned on RTE and on SST-2 over several seeds",
        predicate=lambda comparisons: lie_apart(
            [c for c in comparisons if c.task in ("rte", "sst2") and c.regime == "low"]
        ),
    ),
    table3(
        id="value-is-task-specific",
        section="§3.3, Table 3",
        text="A model with the b_v of the other task scores lower than one with the task's own, on SST-2 and on RTE",
        predicate=scores_higher(efficiency.OWN, efficiency.OTHER),
    ),
    table3(
        id="merging-helps",
        section="§3.3, Table 3",
        text="The average of both tasks' b_v scores higher than the other task's b_v, on SST-2 and on RTE",
        predicate=scores_higher(efficiency.MERGED, efficiency.OTHER),
    ),
)
