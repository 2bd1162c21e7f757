"""§3.2, Fig. 4 and Table 1: which bias wins on each task with how much data, and does the ranking follow?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beft_lib import tasks
from beft_lib.chapters.plans import Shared, check_names, check_seeds, single_terms
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec
from beft_lib.runs.groups import Group

HELD_OUT = 300  # training examples that those runs are scored on


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One task in one data regime: the runs that a cell block of Table 1 compares, over the same seeds."""

    model: str
    task: str
    regime: str
    n_train: int
    ranking: tuple[RunSpec, ...]  # all biases tuned, one a seed: gives every approach's scores, early and late
    alone: tuple[RunSpec, ...]  # one term tuned alone, a seed and term; no b_k where the head alone is the same run
    controls: tuple[RunSpec, ...]  # the head alone

    @property
    def specs(self) -> list[RunSpec]:
        return [*self.ranking, *self.alone, *self.controls]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs of the notebook."""

    settings: tuple[Setting, ...]
    search: tuple[RunSpec, ...]  # all biases at several learning rates, scored on held-out training examples

    @property
    def compared(self) -> list[RunSpec]:
        return [spec for setting in self.settings for spec in setting.specs]

    @property
    def groups(self) -> list[Group]:
        return [Group(self.compared)]

    @property
    def specs(self) -> list[RunSpec]:
        return [*self.search, *self.compared]


def plan(
    *,
    model: str,
    source: str,
    settings: Mapping[str, Sequence[str]],
    seeds: Sequence[int] = (0,),
    learning_rates: Mapping[str, float] | None = None,
    epochs: Mapping[str, Mapping[str, int]] | None = None,
    n_train: Mapping[str, Mapping[str, int]] | None = None,
    n_eval: Mapping[str, int] | None = None,
    search: Mapping[str, int] | None = None,
    search_rates: Sequence[float] = (1e-3, 2e-3, 4e-3),
) -> Plan:
    """From the notebook's parameters to its runs.

    `settings`: the tasks of each regime. `learning_rates` and `n_eval` by task, `epochs` and `n_train` by regime and
    task; what is not given is the paper's (and the whole validation set). `search`: the tasks whose learning rate and
    epochs were chosen, with the most epochs tried: `search_rates` are compared on training examples held out, in the
    task's first regime.
    """
    check_seeds(seeds)
    by_task = {"learning_rates": learning_rates or {}, "n_eval": n_eval or {}}
    by_regime = {"epochs": epochs or {}, "n_train": n_train or {}}
    search = search or {}
    _check_settings(settings)
    _check_keys(settings, by_task | {"search": search}, by_regime)

    def shared(regime: str) -> Shared:
        sizes = {name: given.get(regime, {}) for name, given in by_regime.items()}
        return Shared(model=model, source=source, regime=regime, keeps_regime=True, **by_task, **sizes)

    planned = [_setting(shared(regime), task, seeds) for regime, names in settings.items() for task in names]
    first: dict[str, str] = {}
    for setting in planned:
        first.setdefault(setting.task, setting.regime)
    searched = [
        shared(regime).search(task, "all_biases", search_rates, held_out=HELD_OUT, epochs=search[task])
        for task, regime in first.items()
        if task in search
    ]
    return Plan(settings=tuple(planned), search=tuple(spec for specs in searched for spec in specs))


def _setting(shared: Shared, task: str, seeds: Sequence[int]) -> Setting:
    ranking = tuple(shared.spec(task, "all_biases", seed=seed) for seed in seeds)
    return Setting(
        model=shared.model,
        task=task,
        regime=shared.regime,
        n_train=ranking[0].n_train,
        ranking=ranking,
        alone=tuple(shared.spec(task, term, seed=seed) for term in single_terms(shared.model) for seed in seeds),
        controls=tuple(shared.spec(task, "head_only", seed=seed) for seed in seeds),
    )


def _check_settings(settings: Mapping[str, Sequence[str]]) -> None:
    """Raise `UserError` unless regimes are known, a task is named, and none is named twice in a regime."""
    check_names("regime", {"settings": settings}, tasks.REGIMES)
    if not any(settings.values()):
        raise UserError("settings names no task; give some, e.g. {low: [sst2, rte]}")
    for regime, names in settings.items():
        if len(set(names)) != len(names):
            raise UserError(f"settings: {regime}: {list(names)} repeats a task; give each once")


def _check_keys(
    settings: Mapping[str, Sequence[str]], by_task: Mapping[str, Mapping], by_regime: Mapping[str, Mapping]
) -> None:
    """Raise `UserError` for a parameter that is given for a regime or a task that no setting has."""
    wanted = {task for names in settings.values() for task in names}
    check_names("regime", by_regime, tasks.REGIMES)
    check_names("task", by_task, wanted)
    for name, given in by_regime.items():
        check_names("task", {f"{name}: {regime}": sizes for regime, sizes in given.items()}, wanted)
