"""What the paper claims of decoders (§3.5, Table 5)."""

from collections.abc import Sequence

from beft_lib.chapters import paper
from beft_lib.chapters.plans import CHOSEN, PAPER
from beft_lib.evidence import Comparison
from beft_lib.evidence.claims.claim import Claim
from beft_lib.evidence.claims.costs import trains_fewer
from beft_lib.evidence.claims.finding import Finding, Predicate
from beft_lib.evidence.claims.performance import comparable, scores_higher
from beft_lib.evidence.claims.scope import all_of, in_variant, within

TABLE5 = tuple(paper.numbers("table5")["columns"])


def table5(*, id: str, text: str, predicate: Predicate, needs: str, variant: str, suffix: str = "") -> Claim:
    """Judged on the paper's eleven tasks, at the paper's learning rates or at those chosen for each method.

    Where only a task's variant with short passages was run, it stands for the task.
    """

    def judged(comparisons: Sequence[Comparison]) -> Finding | None:
        run = {c.task for c in comparisons}
        wanted = [f"{task}-short" if task not in run and f"{task}-short" in run else task for task in TABLE5]
        return in_variant(within(predicate, wanted, ("low", "custom"), len(wanted)), variant)(comparisons)

    text = f"{text}, each at a learning rate of its own" if suffix else text
    return Claim(
        id=id + suffix,
        section="§3.5, Table 5",
        text=text,
        notebook="05_autoregressive",
        shown="Table 5",
        needs=needs,
        predicate=judged,
    )


CLAIMS: tuple[Claim, ...] = (
    table5(
        id="value-best-decoders",
        text="In decoders too, b_v scores highest among b_v, b_q and b_k",
        predicate=all_of(scores_higher("value", "query"), scores_higher("value", "key")),
        needs="b_v, b_q and b_k on decoder tasks",
        variant=PAPER,
    ),
    *(
        table5(
            id=f"value-matches-{method}",
            text=f"b_v is competitive with {name} with a {part} of its parameters",
            predicate=all_of(comparable("value", method), trains_fewer("value", method, times)),
            needs=f"b_v and {name} on decoder tasks",
            variant=variant,
            suffix=suffix,
        )
        for method, name, part, times in (("lora", "LoRA", "thirtieth", 30), ("prefix", "prefix tuning", "tenth", 10))
        for variant, suffix in ((PAPER, ""), (CHOSEN, "-chosen-rate"))
    ),
    table5(
        id="in-context-learning-is-worse",
        text="In-context learning scores lower than b_v",
        predicate=scores_higher("value", "in_context"),
        needs="b_v and in-context learning on decoder tasks",
        variant=PAPER,
    ),
    table5(
        id="zero-shot-is-worse",
        text="Zero-shot scores lower than b_v",
        predicate=scores_higher("value", "zero_shot"),
        needs="b_v and zero-shot on decoder tasks",
        variant=PAPER,
    ),
)
