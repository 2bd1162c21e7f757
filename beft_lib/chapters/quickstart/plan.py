"""Your own model and data: which runs rank the biases, tune the selected one, and say what it is worth."""

from collections.abc import Sequence
from dataclasses import dataclass

from beft_lib import models, tasks
from beft_lib.chapters.plans import check_seeds
from beft_lib.errors import UserError, unknown
from beft_lib.runs import RunSpec
from beft_lib.runs.groups import Group
from beft_lib.tuning.methods import ATTENTION_TERMS

ALSO = (*ATTENTION_TERMS, "all_biases", "lora")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the runs share: a model, a task of one's own, and how it is tuned."""

    model: str
    task: str
    source: str
    n_train: int
    seeds: tuple[int, ...]
    learning_rate: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    max_length: int | None = None
    also: tuple[str, ...] = ()  # methods to compare with besides

    @property
    def control(self) -> str:
        """What tuning must beat: the head alone, or for a decoder that answers prompts the untuned model."""
        return "zero_shot" if tasks.get(self.task).prompts else "head_only"

    def ranking(self) -> list[RunSpec]:
        """All biases, one run a seed: the scores that rank them, and what all of them achieve."""
        return [self._spec("all_biases", seed, ranking=True) for seed in self.seeds]

    def compared(self, term: str) -> list[RunSpec]:
        """One term tuned alone, the control and all biases, a run a seed; with a head scored after every epoch."""
        control = [self._spec(self.control, seed) for seed in self.seeds]
        others = [method for method in self.also if method not in (term, self.control, "all_biases")]
        beside = [self._spec(method, seed) for method in others for seed in self.seeds]
        tuned = [self._spec(term, seed) for seed in self.seeds]
        return [*tuned, *dict.fromkeys(control), *beside, *self.ranking()]

    def _spec(self, method: str, seed: int, **more) -> RunSpec:
        fields = {"model": self.model, "task": self.task, "source": self.source, "n_train": self.n_train}
        fields |= {"learning_rate": self.learning_rate, "epochs": self.epochs, "batch_size": self.batch_size}
        fields |= {"max_length": self.max_length}
        return RunSpec(**fields, method=method, seed=seed, each_epoch=self.control == "head_only", **more)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """No run is known before the data is read: what the notebook runs is not counted, compared or published."""

    probed: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    specs: tuple[RunSpec, ...] = ()


def model_name(given: str) -> str:
    """A model as `models.locate` takes it: a Hub id may leave out `hub:` where no such folder exists."""
    if given in models.CATALOGUE or given.startswith("hub:") or "/" not in given or given.startswith((".", "/", "~")):
        return given
    try:
        models.locate(given)
    except UserError:
        return f"hub:{given}"
    return given


def check_model(model: str) -> None:
    """Raise `UserError` for a model that there is not."""
    models.locate(model_name(model))


def check_term(term: str | None) -> None:
    """Raise `UserError` for a term that is none of attention's."""
    if term is not None and term not in ATTENTION_TERMS:
        raise unknown("term", term, ATTENTION_TERMS, "Leave it out to tune the one that the ranking selects")


def check_also(also: Sequence[str]) -> None:
    """Raise `UserError` for a method that cannot be compared with."""
    for method in also:
        if method not in ALSO:
            raise unknown("method in also", method, ALSO)


def check(model: str, seeds: Sequence[int], term: str | None) -> None:
    """Raise `UserError` for a model, seeds or a term that cannot be, before any data is read."""
    check_model(model)
    check_seeds(seeds)
    check_term(term)


def plan(*, model: str, seeds: Sequence[int], term: str | None = None, **_of_the_data: object) -> Plan:
    """From the notebook's parameters: they are checked, but for the data, which the notebook reads."""
    check(model, seeds, term)
    return Plan(probed=(model_name(model),))
