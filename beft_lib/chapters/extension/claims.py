"""What the paper claims of further tasks and encoders, learning rates and epochs (§3.4, Table 4)."""

from collections.abc import Sequence

from beft_lib.chapters.extension import plan as extension
from beft_lib.evidence import Comparison
from beft_lib.evidence.claims.claim import Claim, Encoders
from beft_lib.evidence.claims.finding import Finding, Predicate
from beft_lib.evidence.claims.performance import comparable, scores_higher
from beft_lib.evidence.claims.scope import all_of, at_rate, in_variant, within
from beft_lib.evidence.claims.selection import ranking_stays_along, selects
from beft_lib.evidence.claims.trends import (
    by_rate,
    gains_less_at_the_low_rate,
    gap_grows,
    improves_with_epochs,
    score_rises_with,
)

EPOCHS = "Epochs"


def table4(*, id: str, text: str, predicate: Predicate, tasks: Sequence[str], encoders: Encoders) -> Claim:
    judged = in_variant(within(predicate, tasks, ("low",)), "")
    needs = f"{', '.join(tasks)} on the {encoders} encoder{'s' * (encoders == 'further')}: each term alone"
    return Claim(
        id=id,
        section="§3.4, Table 4",
        text=text,
        notebook="04_extension",
        shown="Table 4",
        needs=needs,
        predicate=judged,
        encoders=encoders,
    )


def rates(
    *,
    id: str,
    section: str,
    text: str,
    shown: str,
    needs: str,
    predicate: Predicate,
    tasks: Sequence[str] = ("cb", "wic"),
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
    return Claim(
        id=id,
        section=section,
        text=text,
        notebook="04_extension",
        shown=shown,
        needs=needs,
        predicate=judged,
        encoders=encoders,
    )


CLAIMS: tuple[Claim, ...] = (
    rates(
        id="fisher-static-in-training",
        section="§2.2",
        text="Fisher orders b_q, b_k and b_v alike all the while a model is tuned",
        shown="Fisher along a run",
        needs="CB: Fisher scores at several steps of a run that tunes all biases",
        predicate=ranking_stays_along("fisher"),
        tasks=("cb",),
    ),
    table4(
        id="value-beats-query-beats-key-new-tasks",
        text="b_v scores higher than b_q and b_q higher than b_k on CB and WiC too",
        predicate=all_of(scores_higher("value", "query"), scores_higher("query", "key")),
        tasks=("cb", "wic"),
        encoders="first",
    ),
    table4(
        id="value-beats-query-other-encoders",
        text="b_v scores higher than b_q and b_k on other encoders too",
        predicate=all_of(scores_higher("value", "query"), scores_higher("value", "key")),
        tasks=("sst2", "rte", "cb", "wic"),
        encoders="further",
    ),
    rates(
        id="projection-selects-value-any-rate",
        section="§3.4",
        text="The projection ratio selects b_v at every learning rate",
        shown="Learning rates",
        needs="CB and WiC: all biases at several learning rates",
        predicate=selects("projection", "value"),
    ),
    rates(
        id="score-gap-follows-rate",
        section="§3.4",
        text="On CB, a higher learning rate widens the gap between the projection scores of b_v and b_q, and "
        "the gap in "
        "performance with it",
        shown="Learning rates",
        needs="CB: all biases, b_v and b_q at several learning rates",
        predicate=gap_grows(1, "projection", along=by_rate),
        tasks=("cb",),
    ),
    *(
        rates(
            id=f"divergence-helps-{task}",
            section="§3.4",
            text=f"On {title}, where b_v diverges further (a higher projection score at a higher rate), b_v scores "
            f"higher",
            shown="Learning rates",
            needs=f"{title}: all biases and b_v at several learning rates",
            predicate=score_rises_with("projection", "value"),
            tasks=(task,),
        )
        for task, title in (("cb", "CB"), ("wic", "WiC"))
    ),
    rates(
        id="value-against-all-biases-by-rate",
        section="§3.4",
        text="On CB, b_v surpasses all biases at learning rate 1e-3 and falls short of them at 1e-4",
        shown="Learning rates",
        needs="CB: b_v and all biases at both rates",
        predicate=all_of(
            at_rate(scores_higher("value", "all_biases"), 1e-3),
            at_rate(scores_higher("all_biases", "value"), 1e-4),
        ),
        tasks=("cb",),
    ),
    rates(
        id="value-improves-with-epochs",
        section="§3.4",
        text="On CB, b_v improves with more epochs, and is then comparable with all biases",
        shown=EPOCHS,
        needs="CB: learning curves of b_v and all biases",
        predicate=at_rate(all_of(improves_with_epochs("value"), comparable("value", "all_biases")), 1e-3),
        tasks=("cb",),
    ),
    rates(
        id="bad-rate-epochs-do-not-help",
        section="§3.4",
        text="On CB, more epochs help b_v less at an inappropriate (lower) learning rate",
        shown=EPOCHS,
        needs="CB: learning curves of b_v at two learning rates",
        predicate=gains_less_at_the_low_rate("value"),
        tasks=("cb",),
    ),
)
