"""§3.2, Fig. 4 and Table 1: which bias wins on each task with how much data, and does the ranking follow?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from beft_lib import tasks
from beft_lib.chapters.plans import (
    CHOSEN,
    SEARCH_SEED,
    Shared,
    check_each_once,
    check_names,
    check_search,
    check_seeds,
    single_terms,
)
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
    chosen: tuple[Setting, ...]  # the tasks that have rates of their own by method, at those
    search: tuple[RunSpec, ...]  # all biases at several learning rates, scored on held-out training examples

    @property
    def compared(self) -> list[RunSpec]:
        return [spec for setting in self.settings for spec in setting.specs]

    @property
    def groups(self) -> list[Group]:
        own = [spec for setting in self.chosen for spec in setting.specs]
        return [Group(self.compared), *([Group(own, CHOSEN)] if own else [])]

    @property
    def specs(self) -> list[RunSpec]:
        return list(dict.fromkeys([*self.search, *(spec for group in self.groups for spec in group.specs)]))


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
    search_methods: Sequence[str] = ("all_biases",),
    search_seeds: Sequence[int] = (SEARCH_SEED,),
    held_out: int = HELD_OUT,
    chosen_rates: Mapping[str, Mapping[str, float]] | None = None,
    head: str | None = None,
) -> Plan:
    """From the notebook's parameters to its runs.

    `settings`: the tasks of each regime. `learning_rates` and `n_eval` by task, `epochs` and `n_train` by regime and
    task; what is not given is the paper's (and the whole validation set). `search`: the tasks whose learning rate and
    epochs were chosen, with the most epochs tried: `search_rates` are compared on `held_out` training examples, in
    the task's first regime, over `search_seeds`: of all biases, as the paper does, or of each of `search_methods`, so
    that every method has the same budget. `chosen_rates`: by task and method, those of a second comparison beside the
    one at a common rate. `head`: "bias" trains of a head's hidden layer its bias alone, as BERT's head has it.
    """
    check_seeds(seeds)
    by_task = {"learning_rates": learning_rates or {}, "n_eval": n_eval or {}}
    by_regime = {"epochs": epochs or {}, "n_train": n_train or {}}
    search, chosen_rates = search or {}, chosen_rates or {}
    _check_settings(settings)
    _check_keys(settings, by_task | {"search": search, "chosen_rates": chosen_rates}, by_regime)
    check_search(search_seeds, seeds, held_out)
    _check_methods(model, search_methods, chosen_rates)

    def shared(regime: str) -> Shared:
        sizes = {name: given.get(regime, {}) for name, given in by_regime.items()}
        made = Shared(model=model, source=source, regime=regime, keeps_regime=True, head=head)
        return replace(made, **by_task, **sizes)

    planned = [_setting(shared(regime), task, seeds, {}) for regime, names in settings.items() for task in names]
    chosen = [
        _setting(shared(regime), task, seeds, chosen_rates[task])
        for regime, names in settings.items()
        for task in names
        if task in chosen_rates
    ]
    first: dict[str, str] = {}
    for setting in planned:
        first.setdefault(setting.task, setting.regime)
    searched = [
        shared(regime).search(task, method, search_rates, held_out=held_out, seeds=search_seeds, epochs=search[task])
        for task, regime in first.items()
        if task in search
        for method in search_methods
    ]
    return Plan(
        settings=tuple(planned), chosen=tuple(chosen), search=tuple(spec for specs in searched for spec in specs)
    )


def _setting(shared: Shared, task: str, seeds: Sequence[int], rates: Mapping[str, float]) -> Setting:
    """`rates`: by method; a method that has none has the task's."""

    def runs(method: str) -> tuple[RunSpec, ...]:
        own = {"learning_rate": rates[method]} if method in rates else {}
        return tuple(shared.spec(task, method, seed=seed, **own) for seed in seeds)

    ranking = runs("all_biases")
    return Setting(
        model=shared.model,
        task=task,
        regime=shared.regime,
        n_train=ranking[0].n_train,
        ranking=ranking,
        alone=tuple(spec for term in single_terms(shared.model) for spec in runs(term)),
        controls=runs("head_only"),
    )


def _check_methods(model: str, searched: Sequence[str], chosen: Mapping[str, Mapping[str, float]]) -> None:
    """Raise `UserError` for a method that Table 1 has not, and for a task with rates for some of its methods only."""
    valid = [*single_terms(model), "head_only", "all_biases"]
    check_each_once("search_methods", searched, "method")
    check_names("method", {"search_methods": searched}, valid)
    for task, rates in chosen.items():
        check_names("method", {f"chosen_rates of {task}": rates}, valid)
        if missing := [method for method in valid if method not in rates]:
            raise UserError(
                f"chosen_rates of {task}: no rate for {', '.join(missing)}; give every method one: a tuned method "
                "beside untuned ones compares nothing"
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
