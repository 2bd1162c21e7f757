"""What the paper claims of decoders (§3.5, Table 5)."""

from collections.abc import Sequence

import numpy as np

from beft_lib import models
from beft_lib.chapters import counts, paper
from beft_lib.chapters.plans import CHOSEN, PAPER
from beft_lib.chapters.questions import DECODERS
from beft_lib.evidence import Comparison
from beft_lib.evidence.claims import printed
from beft_lib.evidence.claims.claim import Claim
from beft_lib.evidence.claims.finding import Finding, Predicate
from beft_lib.evidence.claims.performance import comparable, scores_higher
from beft_lib.evidence.claims.scope import all_of, at_fair_rates_too, within
from beft_lib.tuning import methods

NUMBERS = paper.numbers("table5")
TABLE5, OPTS = tuple(NUMBERS["columns"]), ("opt-1.3b", "opt-6.7b")


def table5(*, predicate: Predicate, **told) -> Claim:
    """Judged on the paper's eleven tasks in the paper's way; where rates of their own say otherwise, so it says.

    Where only a task's variant with short passages was run, it stands for the task.
    """

    def judge(comparisons: Sequence[Comparison]) -> Finding | None:
        run = {c.task for c in comparisons}
        wanted = [f"{task}-short" if task not in run and f"{task}-short" in run else task for task in TABLE5]
        inner = within(predicate, wanted, ("low", "custom"), len(wanted))
        return at_fair_rates_too(inner, PAPER, CHOSEN)(comparisons)

    return Claim(
        section="§3.5, Table 5",
        question=DECODERS,
        notebook="05_autoregressive",
        shown="Table 5",
        predicate=Predicate(f"{predicate.rule} (eleven tasks)", judge),
        **told,
    )


def exact(
    *, section: str = "Table 5", needs: str = "the paper's table", printed_model: str = "OPT-1.3B, OPT-6.7B", **told
) -> Claim:
    """Decided by the paper's own table or by OPT's configurations: no run is needed."""
    return Claim(
        section=section,
        question=DECODERS,
        notebook="05_autoregressive",
        shown="Table 5",
        needs=needs,
        printed_model=printed_model,
        **told,
    )


def cells(method: str) -> dict[str, float]:
    """The printed scores of a method, by model and task."""
    return {
        f"{task} at {models.title(model)}": score
        for model in OPTS
        for task, score in zip(NUMBERS["titles"], NUMBERS[model][method], strict=True)
    }


def best(*methods: str) -> dict[str, float]:
    """The highest printed score of several methods, by model and task."""
    own = [cells(method) for method in methods]
    return {cell: max(scores[cell] for scores in own) for cell in own[0]}


def reported(*others: str) -> str:
    """The paper's differences between b_v and the others."""
    own = [*cells("value").values()]
    said = [f"{methods.title(o)} by {paper.span(own, [*cells(o).values()]).removeprefix('from ')}" for o in others]
    return f"b_v leads {', '.join(said)} points in 22 cells, one seed"


def against_rival(method: str) -> Finding:
    """b_v against a rival as printed, and in how many cells the rival itself is below the untuned model."""
    finding = printed.each_at_least(cells("value"), cells(method))
    own, untuned = cells(method), cells("zero_shot")
    if poor := [cell for cell in own if own[cell] < untuned[cell]]:
        told = f"{methods.title(method)} itself is below zero-shot in {len(poor)} ({', '.join(poor)})"
        return finding._replace(reason=f"{finding.reason}; {told}")
    return finding


def printed_shares() -> Finding:
    counted, shares = {}, {}
    for model, own in counts.OPT.items():
        trained = {"value": own.term, "lora": own.lora(), "prefix": own.prefix()}
        for method, title in (("value", "b_v"), ("lora", "LoRA"), ("prefix", "prefix tuning")):
            counted[f"{title} at {models.title(model)}"] = (trained[method], counts.opt(own))
            shares[f"{title} at {models.title(model)}"] = NUMBERS[model]["share"][method]
    return printed.shares(counted, shares)


RIVALS = (("lora", "LoRA", "thirtieth", 30), ("prefix", "prefix tuning", "tenth", 10))

CLAIMS: tuple[Claim, ...] = (
    table5(
        id="value-best-decoders",
        text="In decoders too, b_v scores highest among b_v, b_q and b_k",
        predicate=all_of(scores_higher("value", "query", at_large=True), scores_higher("value", "key", at_large=True)),
        needs="b_v, b_q and b_k on decoder tasks",
        paper=reported("query", "key"),
    ),
    *(
        table5(
            id=f"value-matches-{method}",
            text=f"b_v is competitive with {name} on the majority of tasks",
            predicate=comparable("value", method, majority=True),
            needs=f"b_v and {name} on decoder tasks",
            paper=reported(method),
        )
        for method, name, _, _ in RIVALS
    ),
    *(
        exact(
            id=f"value-is-a-{part}-of-{method}",
            section="§3.5",
            text=f"b_v of OPT-1.3B has {times} times fewer parameters than {name}",
            needs="OPT's configuration",
            paper=f"{times}× fewer",
            printed_model="OPT-1.3B",
            printed=lambda method=method, times=times: printed.times_as_many(
                getattr(counts.OPT["opt-1.3b"], method)(), counts.OPT["opt-1.3b"].term, times, at_least=True
            ),
            decided_by=f"scalars of {name} (rank 8 on q and v; 5 prefix tokens) over those of b_v, at least {times}",
        )
        for method, name, part, times in RIVALS
    ),
    table5(
        id="in-context-learning-is-worse",
        text="In-context learning scores lower than b_v",
        predicate=scores_higher("value", "in_context", at_large=True),
        needs="b_v and in-context learning on decoder tasks",
        paper=reported("in_context"),
    ),
    table5(
        id="zero-shot-is-worse",
        text="Zero-shot scores lower than b_v",
        predicate=scores_higher("value", "zero_shot", at_large=True),
        needs="b_v and zero-shot on decoder tasks",
        paper=reported("zero_shot"),
    ),
    exact(
        id="table5-value-best",
        text="In the paper's Table 5, b_v scores highest among b_v, b_q and b_k in every cell",
        paper=reported("query", "key"),
        printed=lambda: printed.each_higher(cells("value"), best("query", "key"), strictly=False),
        decided_by="none of 22 printed differences b_v − the better of b_q and b_k is below 0",
    ),
    *(
        exact(
            id=f"table5-value-matches-{method}",
            section="§3.5, Table 5",
            text=f"In the paper's Table 5, b_v is competitive with {name} on the majority of tasks",
            paper=reported(method),
            printed=lambda method=method: against_rival(method),
            decided_by=f"printed differences b_v − {name}, at most 3 points below 0 in more than 11 of 22",
        )
        for method, name, _, _ in RIVALS
    ),
    exact(
        id="table5-untrained-worse",
        section="§3.5, Table 5",
        text="In the paper's Table 5, in-context learning and zero-shot score lower than b_v in every cell",
        paper=reported("in_context", "zero_shot"),
        printed=lambda: printed.each_higher(cells("value"), best("in_context", "zero_shot")),
        decided_by="each of 22 printed differences b_v − the better of the two is above 0",
    ),
    exact(
        id="table5-key-is-zero-shot",
        text="In the paper's Table 5, tuning b_k gains over zero-shot (implied: the paper does not say so)",
        paper=f"means of {np.mean([*cells('key').values()]):.1f} and {np.mean([*cells('zero_shot').values()]):.1f}",
        printed=lambda: printed.each_alike(cells("key"), cells("zero_shot")),
        decided_by="22 printed differences b_k − zero-shot, no difference if none is beyond 3 points",
    ),
    exact(
        id="table5-shares",
        text="The shares of parameters printed in Table 5 are those of the models",
        needs="OPT's configurations",
        paper="0.04, 1.2, 0.4 % at OPT-1.3B; 0.02, 0.6, 0.2 % at OPT-6.7B",
        printed=printed_shares,
        decided_by="each share, counted from the configuration, rounds to the one printed",
    ),
)
