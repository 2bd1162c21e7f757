"""What the paper claims of further tasks and encoders, learning rates and epochs (§3.4, Table 4)."""

from collections.abc import Sequence
from dataclasses import replace

from beft_lib import models
from beft_lib.chapters import paper
from beft_lib.chapters.extension import plan as extension
from beft_lib.chapters.questions import FINDS, ORDER, RECIPE, RIVALS
from beft_lib.evidence import Comparison
from beft_lib.evidence.claims import printed
from beft_lib.evidence.claims.claim import Claim, Encoders
from beft_lib.evidence.claims.finding import Finding, Predicate
from beft_lib.evidence.claims.performance import comparable, scores_higher
from beft_lib.evidence.claims.scope import all_of, at_rate, in_variant, within
from beft_lib.evidence.claims.selection import all_terms_stay_along, ranking_stays_along, selects
from beft_lib.evidence.claims.trends import (
    by_rate,
    gains_less_at_the_low_rate,
    gap_grows,
    improves_with_epochs,
    score_rises_with,
)
from beft_lib.tasks import title as titled

EPOCHS = "Epochs"
ENCODERS = "BERT-base, RoBERTa-base, BERT-large"


def table4(*, steps: Sequence[Predicate], tasks: Sequence[str], encoders: Encoders, **told) -> Claim:
    """An order of terms, each step judged where one of its two learned something: b_q against b_k, which is the head
    alone, can be judged where b_v against b_q says nothing."""
    needs = f"{', '.join(map(titled, tasks))} on the {encoders} encoder{'s' * (encoders == 'further')}: each term alone"
    return Claim(
        section="§3.4, Table 4",
        question=ORDER,
        notebook="04_extension",
        shown="Table 4",
        needs=needs,
        predicate=in_variant(all_of(*(within(step, tasks, ("low",)) for step in steps)), ""),
        encoders=encoders,
        **told,
    )


def rates(
    *,
    shown: str,
    predicate: Predicate,
    tasks: Sequence[str] = ("cb", "wic"),
    section: str = "§3.4",
    question: str = RECIPE,
    **told,
) -> Claim:
    """Judged on the tasks that were run at several learning rates, with the authors' form of the head.

    Learning rates on the first encoder, as in the paper; epochs on every one.
    """
    inner = within(predicate, tasks, ("low",))

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        own = [c for c in comparisons if c.variant != extension.BIAS_HEAD]
        several = {c.task for c in own if c.variant}
        usual = {c.task: c for c in own if not c.variant}  # with the control, which rates between the ends lack
        return inner([replace(c, witness=usual.get(c.task)) for c in own if c.task in several])

    return Claim(
        question=question,
        notebook="04_extension",
        shown=shown,
        predicate=Predicate(inner.rule, judge),
        encoders="any" if shown == EPOCHS else "first",
        section=section,
        **told,
    )


TABLE4 = paper.numbers("table4")


def cells(method: str, encoders: Sequence[str] = ("bert-base", "roberta-base", "bert-large")) -> dict[str, float]:
    """The printed scores of a method, by encoder and task."""
    return {
        f"{task} with {models.title(encoder)}": score
        for encoder in encoders
        for task, score in zip(TABLE4["titles"], TABLE4[encoder][method], strict=True)
    }


def best(*methods: str) -> dict[str, float]:
    """The highest printed score of several methods, by encoder and task."""
    own = [cells(method) for method in methods]
    return {cell: max(scores[cell] for scores in own) for cell in own[0]}


def query_against_key() -> Finding:
    """Judged of BERT-base, of which the paper says it; what its table has of other encoders is told."""
    own, further = ("bert-base",), ("roberta-base", "bert-large")
    finding, others = (printed.each_higher(cells("query", e), cells("key", e)) for e in (own, further))
    return finding._replace(reason=f"{finding.reason}; with the other encoders, of which it does not: {others.reason}")


def reported(first: str, second: str) -> str:
    return f"{paper.span([*cells(first).values()], [*cells(second).values()])} points in 12 cells, one seed"


CLAIMS: tuple[Claim, ...] = (
    rates(
        id="fisher-static-in-training",
        section="§2.2",
        question=RIVALS,
        text="Fisher orders b_q, b_k and b_v alike all the while a model is tuned",
        shown="Fisher along a run",
        needs="CB: Fisher scores at several steps of a run that tunes all biases",
        predicate=ranking_stays_along("fisher"),
        tasks=("cb",),
    ),
    rates(
        id="fisher-static-in-training-all-terms",
        section="§2.2",
        question=RIVALS,
        text="Fisher ranks all bias terms mostly alike all the while a model is tuned",
        shown="Fisher along a run",
        needs="CB: Fisher scores at several steps of a run that tunes all biases",
        paper="the importance ranking in Fisher stays mostly static during training",
        predicate=all_terms_stay_along("fisher"),
        tasks=("cb",),
    ),
    table4(
        id="value-beats-query-beats-key-new-tasks",
        text="b_v scores higher than b_q and b_q higher than b_k on CB and WiC too",
        paper="CB 59.0, 47.2, 43.3; WiC 69.6, 66.1, 62.8 for b_v, b_q, b_k",
        steps=(scores_higher("value", "query"), scores_higher("query", "key")),
        tasks=("cb", "wic"),
        encoders="first",
    ),
    table4(
        id="value-beats-query-other-encoders",
        text="b_v scores higher than b_q and b_k on other encoders too",
        paper=reported("value", "query"),
        steps=(scores_higher("value", "query"), scores_higher("value", "key")),
        tasks=("sst2", "rte", "cb", "wic"),
        encoders="further",
    ),
    rates(
        id="projection-selects-value-any-rate",
        question=FINDS,
        text="The projection ratio selects b_v at every learning rate",
        shown="Learning rates",
        needs="CB and WiC: all biases at several learning rates",
        predicate=selects("projection", "value"),
    ),
    *(
        rates(
            id=f"score-gap-follows-rate{suffix}",
            text=f"On {title}, a higher learning rate widens the gap between the projection scores of b_v and b_q, and "
            "the gap in performance with it",
            shown="Learning rates",
            needs=f"{title}: all biases, b_v and b_q at several learning rates",
            paper="shown in a figure for 1e-3 and 1e-4" if task == "cb" else "similar trends",
            predicate=gap_grows(1, "projection", along=by_rate),
            tasks=(task,),
        )
        for task, title, suffix in (("cb", "CB", ""), ("wic", "WiC", "-wic"))
    ),
    *(
        rates(
            id=f"divergence-helps-{task}",
            text=f"On {title}, where b_v diverges further (a higher projection score at a higher rate), b_v scores "
            f"higher",
            shown="Learning rates",
            needs=f"{title}: all biases and b_v at several learning rates",
            predicate=score_rises_with("projection", "value"),
            tasks=(task,),
        )
        for task, title in (("cb", "CB"), ("wic", "WiC"))
    ),
    *(
        rates(
            id=f"value-against-all-biases-by-rate{suffix}",
            text=f"On {title}, b_v surpasses all biases at learning rate 1e-3 and falls short of them at 1e-4",
            shown="Learning rates",
            needs=f"{title}: b_v and all biases at both rates",
            paper="shown in a figure" if task == "cb" else "similar trends",
            predicate=all_of(
                at_rate(scores_higher("value", "all_biases"), 1e-3),
                at_rate(scores_higher("all_biases", "value"), 1e-4),
            ),
            tasks=(task,),
        )
        for task, title, suffix in (("cb", "CB", ""), ("wic", "WiC", "-wic"))
    ),
    rates(
        id="value-improves-with-epochs",
        text="On CB, b_v improves with more epochs",
        shown=EPOCHS,
        needs="CB: learning curves of b_v",
        predicate=at_rate(improves_with_epochs("value"), 1e-3),
        tasks=("cb",),
    ),
    rates(
        id="value-matches-all-biases-after-epochs",
        text="On CB, b_v is comparable with all biases at the end of many epochs",
        shown=EPOCHS,
        needs="CB: b_v and all biases",
        predicate=at_rate(comparable("value", "all_biases"), 1e-3),
        tasks=("cb",),
    ),
    rates(
        id="bad-rate-epochs-do-not-help",
        text="On CB, more epochs help b_v less at an inappropriate (lower) learning rate",
        shown=EPOCHS,
        needs="CB: learning curves of b_v at two learning rates",
        predicate=gains_less_at_the_low_rate("value"),
        tasks=("cb",),
    ),
    Claim(
        id="table4-value-best",
        section="Table 4",
        question=ORDER,
        text="In the paper's Table 4, b_v scores higher than b_q and b_k in every cell",
        notebook="04_extension",
        shown="Table 4",
        needs="the paper's table",
        paper=reported("value", "query"),
        printed=lambda: printed.each_higher(cells("value"), best("query", "key")),
        printed_model=ENCODERS,
        decided_by="each of 12 printed differences b_v − the better of b_q and b_k is above 0",
    ),
    Claim(
        id="table4-query-beats-key",
        section="§3.4, Table 4",
        question=ORDER,
        text="In the paper's Table 4, b_q scores higher than b_k with BERT-base, of which alone the paper says so",
        notebook="04_extension",
        shown="Table 4",
        needs="the paper's table",
        paper=reported("query", "key"),
        printed=query_against_key,
        printed_model="BERT-base",
        decided_by="each of 4 printed differences b_q − b_k with BERT-base is above 0; the other encoders' are told",
    ),
)
