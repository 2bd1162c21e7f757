"""§2 and Fig. 1: which of b_q, b_k, b_v do the approaches select, and how well does each do when tuned alone?"""

from dataclasses import dataclass

from beft_lib.chapters import plans
from beft_lib.runs import RunSpec
from beft_lib.runs.groups import Group


@dataclass(frozen=True)
class Plan:
    """The runs of the notebook, by what they are for."""

    ranking: tuple[RunSpec, ...]  # all biases tuned, one a seed: gives every approach's scores
    arms: tuple[RunSpec, ...]  # one term tuned alone, a seed and term; no b_k where the head's runs stand for it
    controls: tuple[RunSpec, ...]  # the head alone, and the untuned model

    @property
    def compared(self) -> list[RunSpec]:
        """The runs of one recipe, a method and seed each once: what may be averaged and compared."""
        return [*self.ranking, *self.arms, *self.controls]

    @property
    def groups(self) -> list[Group]:
        return [Group(self.compared)]

    @property
    def specs(self) -> list[RunSpec]:
        return self.compared


def plan(
    model: str,
    task: str,
    source: str,
    regime: str = "low",
    n_train: int | None = None,
    seeds: tuple[int, ...] | list[int] = (0,),
    learning_rate: float | None = None,
    epochs: int | None = None,
    precision: str = "fp32",
) -> Plan:
    """From the notebook's parameters to its runs. None: the paper's setting for the task."""
    plans.check_seeds(seeds)

    def spec(method: str, seed: int, **more) -> RunSpec:
        return RunSpec(
            **{
                "model": model,
                "task": task,
                "source": source,
                "regime": None if n_train else regime,
                "n_train": n_train,
                "method": method,
                "seed": seed,
                "learning_rate": learning_rate,
                "epochs": epochs,
                "precision": precision,
                **more,
            }
        )

    return Plan(
        ranking=tuple(spec("all_biases", seed, ranking=True) for seed in seeds),
        arms=tuple(spec(term, seed) for term in plans.arms(model) for seed in seeds),
        controls=tuple(spec(method, seed) for method in ("head_only", "none") for seed in seeds),
    )
