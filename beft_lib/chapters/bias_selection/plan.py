"""§2 and Fig. 1: which of b_q, b_k, b_v do the approaches select, and how well does each do when tuned alone?"""

from collections.abc import Sequence
from dataclasses import dataclass

from beft_lib.chapters.plans import Shared, check_seeds, single_terms
from beft_lib.runs import RunSpec
from beft_lib.runs.groups import Group


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs of the notebook, by what they are for."""

    ranking: tuple[RunSpec, ...]  # all biases tuned, one a seed: gives every approach's scores
    alone: tuple[RunSpec, ...]  # one term tuned alone, a seed and term; no b_k where the head's runs stand for it
    controls: tuple[RunSpec, ...]  # the head alone, and the untuned model

    @property
    def compared(self) -> list[RunSpec]:
        """The runs of one recipe, a method and seed each once: what may be averaged and compared."""
        return [*self.ranking, *self.alone, *self.controls]

    @property
    def groups(self) -> list[Group]:
        return [Group(self.compared)]

    @property
    def specs(self) -> list[RunSpec]:
        return self.compared


def plan(
    *,
    model: str,
    task: str,
    source: str,
    regime: str = "low",
    n_train: int | None = None,
    seeds: Sequence[int] = (0,),
    learning_rate: float | None = None,
    epochs: int | None = None,
    precision: str = "fp32",
) -> Plan:
    """From the notebook's parameters to its runs. None: the paper's setting for the task."""
    check_seeds(seeds)
    shared = Shared(
        model=model,
        source=source,
        regime=regime,
        learning_rates={task: learning_rate},
        epochs={task: epochs},
        n_train={task: n_train},
        precision=precision,
    )
    return Plan(
        ranking=tuple(shared.spec(task, "all_biases", seed=seed) for seed in seeds),
        alone=tuple(shared.spec(task, term, seed=seed) for term in single_terms(model) for seed in seeds),
        controls=tuple(shared.spec(task, method, seed=seed) for method in ("head_only", "none") for seed in seeds),
    )
