"""§3.4, Table 4 and its analyses: does what holds for b_v on GLUE hold on new tasks, encoders, rates and epochs?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beft_lib import models, tasks
from beft_lib.chapters.plans import arms, check_seeds
from beft_lib.errors import UserError, unknown
from beft_lib.runs import RunSpec
from beft_lib.runs.groups import Group

BIAS_HEAD = "the head's hidden layer trains its bias only"
CONTRASTED = ("value", "query", "all_biases", "head_only")  # at the highest and lowest rate, and over epochs
BETWEEN = ("value", "all_biases")  # at the rates between them


@dataclass(frozen=True)
class Plan:
    """The runs of the notebook."""

    table4: tuple[RunSpec, ...]  # every encoder and task at the task's learning rate
    bias_head: tuple[RunSpec, ...]  # the same with a smaller head, for encoders whose head has a hidden layer
    by_rate: Mapping[float, tuple[RunSpec, ...]]  # other rates than Table 4's

    @property
    def groups(self) -> list[Group]:
        smaller = [Group(self.bias_head, BIAS_HEAD)] if self.bias_head else []
        rates = [Group(specs, rate_variant(rate)) for rate, specs in self.by_rate.items()]
        return [Group(self.table4), *smaller, *rates]

    @property
    def compared(self) -> list[RunSpec]:
        return [spec for group in self.groups for spec in group.specs]

    @property
    def specs(self) -> list[RunSpec]:
        return list(dict.fromkeys(self.compared))


def rate_variant(rate: float) -> str:
    """How the group of a learning rate that is not Table 4's is called."""
    return f"learning rate {rate:g}"


def plan(
    encoders: Sequence[str],
    source: str,
    settings: Sequence[str],
    seeds: Sequence[int] = (0,),
    seeds_of: Mapping[str, Sequence[int]] | None = None,
    learning_rates: Mapping[str, float] | None = None,
    epochs: Mapping[str, int] | None = None,
    n_train: Mapping[str, int] | None = None,
    n_eval: Mapping[str, int] | None = None,
    rate_tasks: Sequence[str] = (),
    rates: Sequence[float] = (),
    epoch_task: str | None = None,
    fisher_along: bool = True,
) -> Plan:
    """From the notebook's parameters to its runs.

    `settings`: the tasks of Table 4. `seeds_of`, `learning_rates`, `epochs`, `n_train` and `n_eval` by task; what is
    not given is `seeds` and the paper's. `rate_tasks`: tuned at `rates` too, on the first encoder: b_v, b_q and all
    biases at the lowest and highest, b_v and all biases between. `epoch_task`: scored after each epoch, on every
    encoder at the task's rate and the lowest of `rates`.
    """
    seeds_of, learning_rates, epochs, n_train, n_eval = (
        dict(given or {}) for given in (seeds_of, learning_rates, epochs, n_train, n_eval)
    )
    if not encoders or len(set(encoders)) != len(encoders):
        raise UserError(f"encoders: {list(encoders)}; give at least one encoder, each once")
    if not settings or len(set(settings)) != len(settings):
        raise UserError(f"settings: {list(settings)}; give at least one task, each once")
    for own in (seeds, *seeds_of.values()):
        check_seeds(own)
    by_task = {"seeds_of": seeds_of, "learning_rates": learning_rates, "epochs": epochs}
    by_task |= {"n_train": n_train, "n_eval": n_eval, "rate_tasks": rate_tasks}
    by_task |= {"epoch_task": [epoch_task] if epoch_task else []}
    for name, given in by_task.items():
        for task in given:
            if task not in settings:
                raise unknown(f"task in {name}:", task, settings)
    if rates and not (rate_tasks or epoch_task):
        raise UserError(
            f"rates: {list(rates)} are of no task; name some in rate_tasks or epoch_task, or leave rates out"
        )
    if (rate_tasks or epoch_task) and (len(set(rates)) < 2 or min(rates, default=0) <= 0):
        raise UserError(f"rates: {list(rates)}; give two learning rates or more, e.g. [0.0001, 0.001]")

    def spec(model: str, task: str, method: str, seed: int, **more) -> RunSpec:
        fields = {"model": model, "task": task, "source": source, "method": method, "seed": seed}
        fields |= {"regime": None if task in n_train else "low", "n_train": n_train.get(task)}
        fields |= {"learning_rate": learning_rates.get(task), "n_eval": n_eval.get(task)}
        fields["epochs"] = epochs.get(task, _epochs(task, not models.trains_longer(model)))
        fields |= {"each_epoch": task == epoch_task, "ranking": method == "all_biases"}
        first = (model, task, method) == (encoders[0], epoch_task, "all_biases")
        along = fisher_along and first and "learning_rate" not in more
        return RunSpec(**fields | ({"fisher_along": True} if along else {}) | more)

    def own(task: str) -> Sequence[int]:
        return seeds_of.get(task, seeds)

    def methods_of(model: str) -> list[str]:
        return [*arms(model), "head_only", "all_biases"]

    table4 = [
        spec(model, task, method, seed)
        for model in encoders
        for task in settings
        for method in methods_of(model)
        for seed in own(task)
    ]
    bias_head = [
        spec(model, task, method, seed, head="bias")
        for model in encoders
        if models.has_hidden_head(model)
        for task in settings
        for method in methods_of(model)
        for seed in own(task)
    ]
    done, by_rate = {s for s in table4}, {}
    for rate in sorted(set(rates), reverse=True):
        extreme = rate in (min(rates), max(rates))
        wanted = [(encoders[0], t, m) for t in rate_tasks for m in (CONTRASTED if extreme else BETWEEN)]
        if epoch_task and rate == min(rates):
            wanted += [(model, epoch_task, method) for model in encoders for method in CONTRASTED]
        made = [
            spec(model, task, method, seed, learning_rate=rate)
            for model, task, method in dict.fromkeys(wanted)
            if rate != _rate(task, learning_rates)
            for seed in own(task)
        ]
        if made:
            by_rate[rate] = tuple(s for s in made if s not in done)
    return Plan(tuple(table4), tuple(bias_head), by_rate)


def _rate(task: str, learning_rates: Mapping[str, float]) -> float:
    return learning_rates.get(task, tasks.get(task).learning_rate)


def _epochs(task: str, base: bool) -> int:
    """The paper's epochs: some tasks have more for the other encoders."""
    epochs = tasks.get(task).epochs
    return epochs.base if base or epochs.large is None else epochs.large
