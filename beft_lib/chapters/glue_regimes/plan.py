"""§3.2, Fig. 4 and Table 1: which bias wins on each task with how much data, and does the ranking follow?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beft_lib import tasks
from beft_lib.chapters.plans import SEARCH_SEED, arms, check_seeds
from beft_lib.errors import UserError, unknown
from beft_lib.runs import RunSpec
from beft_lib.runs.groups import Group

HELD_OUT = 300  # training examples that those runs are scored on


@dataclass(frozen=True)
class Setting:
    """One task in one data regime: the runs that a cell block of Table 1 compares, over the same seeds."""

    model: str
    task: str
    regime: str
    n_train: int
    ranking: tuple[RunSpec, ...]  # all biases tuned, one a seed: gives every approach's scores, early and late
    arms: tuple[RunSpec, ...]  # one term tuned alone, a seed and term; no b_k where the head alone is the same run
    controls: tuple[RunSpec, ...]  # the head alone

    @property
    def specs(self) -> list[RunSpec]:
        return [*self.ranking, *self.arms, *self.controls]


@dataclass(frozen=True)
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
    learning_rates, epochs, n_train, n_eval, search = (
        given or {} for given in (learning_rates, epochs, n_train, n_eval, search)
    )
    wanted = {task for own in settings.values() for task in own}
    for name, given in (("settings", settings), ("epochs", epochs), ("n_train", n_train)):
        for regime in given:
            if regime not in tasks.REGIMES:
                raise unknown(f"regime in {name}:", regime, tasks.REGIMES)
    by_task = [("learning_rates", learning_rates), ("n_eval", n_eval), ("search", search)]
    by_task += [
        (f"{n}: {r}", own) for n, given in (("epochs", epochs), ("n_train", n_train)) for r, own in given.items()
    ]
    for name, given in by_task:
        for task in given:
            if task not in wanted:
                raise unknown(f"task in {name}:", task, sorted(wanted))
    if not wanted:
        raise UserError("settings names no task; give some, e.g. {low: [sst2, rte]}")

    def spec(task: str, regime: str, **more) -> RunSpec:
        return RunSpec(
            **{
                "model": model,
                "task": task,
                "source": source,
                "regime": regime,
                "n_train": n_train.get(regime, {}).get(task),
                "learning_rate": learning_rates.get(task),
                "epochs": epochs.get(regime, {}).get(task),
                "n_eval": n_eval.get(task),
                **more,
            }
        )

    made = []
    for regime, own in settings.items():
        if len(set(own)) != len(own):
            raise UserError(f"settings: {regime}: {list(own)} repeats a task; give each once")
        for task in own:
            ranking = tuple(spec(task, regime, method="all_biases", ranking=True, seed=seed) for seed in seeds)
            alone = tuple(spec(task, regime, method=term, seed=seed) for term in arms(model) for seed in seeds)
            controls = tuple(spec(task, regime, method="head_only", seed=seed) for seed in seeds)
            made.append(Setting(model, task, regime, ranking[0].n_train, ranking, alone, controls))
    first = {}
    for setting in made:
        first.setdefault(setting.task, setting)
    searched = tuple(
        spec(
            task,
            setting.regime,
            method="all_biases",
            seed=SEARCH_SEED,
            learning_rate=rate,
            epochs=search[task],
            evaluation="development",
            n_eval=HELD_OUT,
            each_epoch=True,
        )
        for task, setting in first.items()
        if task in search
        for rate in search_rates
    )
    return Plan(tuple(made), searched)
