"""§3.4, Table 4 and its analyses: does what holds for b_v on GLUE hold on new tasks, encoders, rates and epochs?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from beft_lib import models, tasks
from beft_lib.chapters.plans import Shared, check_each_once, check_names, check_seeds, single_terms
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec
from beft_lib.runs.groups import Group

BIAS_HEAD = "the head's hidden layer trains its bias only"
CONTRASTED = ("value", "query", "all_biases", "head_only")  # at the highest and lowest rate, and over epochs
BETWEEN = ("value", "all_biases")  # at the rates between them


@dataclass(frozen=True, kw_only=True)
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
    *,
    encoders: Sequence[str],
    source: str,
    settings: Sequence[str],
    settings_of: Mapping[str, Sequence[str]] | None = None,
    seeds: Sequence[int] = (0,),
    seeds_of: Mapping[str, Sequence[int]] | None = None,
    learning_rates: Mapping[str, float] | None = None,
    epochs: Mapping[str, int] | None = None,
    epochs_of: Mapping[str, Mapping[str, int]] | None = None,
    n_train: Mapping[str, int] | None = None,
    n_eval: Mapping[str, int] | None = None,
    rate_tasks: Sequence[str] = (),
    rates: Sequence[float] = (),
    epoch_task: str | None = None,
    fisher_along: bool = True,
    smaller_heads: Sequence[str] | None = None,
) -> Plan:
    """From the notebook's parameters to its runs.

    `settings`: the tasks of Table 4; `settings_of`: by encoder, those of them that it is run on, where not on all.
    `seeds_of`, `learning_rates`, `epochs`, `n_train` and `n_eval` by task; what is not given is `seeds` and the
    paper's. `epochs_of`: by encoder and task, where it has others. `rate_tasks`: tuned at `rates` too, on the first
    encoder: b_v, b_q and all biases at the lowest and highest, b_v and all biases between. `epoch_task`: scored after
    each epoch, on every encoder at the task's rate and the lowest of `rates`. `smaller_heads`: the encoders whose head
    is trained with the bias of its hidden layer alone as well; None: all that have one.
    """
    seeds_of, epochs = seeds_of or {}, epochs or {}
    settings_of, epochs_of = settings_of or {}, epochs_of or {}
    by_task = {"learning_rates": learning_rates or {}, "n_train": n_train or {}, "n_eval": n_eval or {}}
    check_each_once("encoders", encoders, "encoder")
    check_each_once("settings", settings, "task")
    for given in (seeds, *seeds_of.values()):
        check_seeds(given)
    followed = {"rate_tasks": rate_tasks, "epoch_task": [epoch_task] if epoch_task else []}
    check_names("task", {"seeds_of": seeds_of, "epochs": epochs} | by_task | followed, settings)
    by_encoder = {"settings_of": settings_of, "epochs_of": epochs_of}
    check_names("encoder", by_encoder | {"smaller_heads": smaller_heads or ()}, encoders)
    _check_own_tasks(by_encoder, settings)
    _check_rates(rates, rate_tasks, epoch_task)

    def shared(model: str) -> Shared:
        papers = {task: _epochs(task, model) for task in settings}
        return Shared(model=model, source=source, epochs=papers | {**epochs, **epochs_of.get(model, {})}, **by_task)

    runs = _Runs(
        shared={model: shared(model) for model in encoders},
        seeds={task: seeds_of.get(task, seeds) for task in settings},
        settings={model: settings_of.get(model, settings) for model in encoders},
        epoch_task=epoch_task,
        fisher_along=fisher_along,
    )
    hidden = filter(models.has_hidden_head, encoders)
    by_rate = {rate: runs.at_rate(rate, rates, rate_tasks) for rate in sorted(set(rates), reverse=True)}
    return Plan(
        table4=runs.table(encoders),
        bias_head=runs.table(list(hidden) if smaller_heads is None else smaller_heads, head="bias"),
        by_rate={rate: specs for rate, specs in by_rate.items() if specs},
    )


@dataclass(frozen=True, kw_only=True)
class _Runs:
    """How the runs of Table 4 and of its analyses are made."""

    shared: Mapping[str, Shared]  # by encoder
    seeds: Mapping[str, Sequence[int]]  # by task
    settings: Mapping[str, Sequence[str]]  # by encoder: its tasks
    epoch_task: str | None
    fisher_along: bool

    def over_seeds(self, model: str, task: str, method: str, **more) -> list[RunSpec]:
        """A method of one cell of the table, a run a seed."""
        first = (model, task, method) == (next(iter(self.shared)), self.epoch_task, "all_biases")
        if self.fisher_along and first and "learning_rate" not in more:
            more["fisher_along"] = True
        more["each_epoch"] = task == self.epoch_task
        return [self.shared[model].spec(task, method, seed=seed, **more) for seed in self.seeds[task]]

    def table(self, encoders: Sequence[str], **more) -> tuple[RunSpec, ...]:
        """Every task and method of these encoders."""
        return tuple(
            spec
            for model in encoders
            for task in self.settings[model]
            for method in (*single_terms(model), "head_only", "all_biases")
            for spec in self.over_seeds(model, task, method, **more)
        )

    def at_rate(self, rate: float, rates: Sequence[float], rate_tasks: Sequence[str]) -> tuple[RunSpec, ...]:
        """What is run at one of the rates: nothing on a task whose runs of Table 4 have that rate."""
        extreme = rate in (min(rates), max(rates))
        encoders = list(self.shared)
        first = [task for task in rate_tasks if task in self.settings[encoders[0]]]
        wanted = [(encoders[0], task, m) for task in first for m in (CONTRASTED if extreme else BETWEEN)]
        if self.epoch_task and rate == min(rates):
            scored = [model for model in encoders if self.epoch_task in self.settings[model]]
            wanted += [(model, self.epoch_task, method) for model in scored for method in CONTRASTED]
        return tuple(
            spec
            for model, task, method in dict.fromkeys(wanted)
            if rate != self.shared[model].learning_rates.get(task, tasks.get(task).learning_rate)
            for spec in self.over_seeds(model, task, method, learning_rate=rate)
        )


def _check_own_tasks(by_encoder: Mapping[str, Mapping[str, Iterable[str]]], settings: Sequence[str]) -> None:
    """Raise `UserError` for a task of one encoder, in any of these parameters, that is none of the settings."""
    own = {f"{name} of {encoder}": names for name, by in by_encoder.items() for encoder, names in by.items()}
    check_names("task", own, settings)


def _check_rates(rates: Sequence[float], rate_tasks: Sequence[str], epoch_task: str | None) -> None:
    """Raise `UserError` for rates without a task, and for tasks without a lowest and a highest rate."""
    if rates and not (rate_tasks or epoch_task):
        raise UserError(
            f"rates: {list(rates)} are of no task; name some in rate_tasks or epoch_task, or leave rates out"
        )
    if (rate_tasks or epoch_task) and (len(set(rates)) < 2 or min(rates, default=0) <= 0):
        raise UserError(f"rates: {list(rates)}; give two learning rates or more, e.g. [0.0001, 0.001]")


def _epochs(task: str, model: str) -> int:
    """The paper's epochs: some tasks have more for the other encoders."""
    longer, epochs = models.trains_longer(model), tasks.get(task).epochs
    return epochs.large if longer and epochs.large is not None else epochs.base
