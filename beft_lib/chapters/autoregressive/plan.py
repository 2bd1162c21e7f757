"""§3.5, Table 5: does tuning b_v carry over to decoders, and how does it stand to other ways of using one?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beft_lib import tasks
from beft_lib.chapters.plans import (
    CHOSEN,
    PAPER,
    SEARCH_SEED,
    Shared,
    check_names,
    check_rates,
    check_search,
    check_seeds,
)
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec
from beft_lib.runs.groups import Group
from beft_lib.runs.timing import TimingSpec
from beft_lib.tuning import methods

TRAINED = ("value", "query", "key", "all_biases", "lora", "prefix", "full")
METHODS = (*TRAINED, "in_context", "zero_shot")  # the rows of Table 5, with all biases and all parameters beside them
SIZES = ("n_train", "epochs", "n_eval", "shots", "seeds")
TIMED = 32  # training examples of a timed run, one epoch of them
HELD_OUT = 100  # training examples that the runs of the search are scored on


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs of the notebook."""

    search: tuple[RunSpec, ...]  # methods at several learning rates, scored on held-out training examples
    paper: tuple[RunSpec, ...]  # Table 5 at the paper's learning rates
    chosen: tuple[RunSpec, ...]  # on the tasks that were searched, every method: at the chosen rate where it has one
    timing: TimingSpec | None

    @property
    def groups(self) -> list[Group]:
        return [group for group in (Group(self.paper, PAPER), Group(self.chosen, CHOSEN)) if group.specs]

    @property
    def timings(self) -> tuple[TimingSpec, ...]:
        return (self.timing,) if self.timing else ()

    @property
    def specs(self) -> list[RunSpec]:
        return list(dict.fromkeys([*self.search, *self.paper, *self.chosen]))


def plan(
    *,
    model: str,
    source: str,
    settings: Mapping[str, Mapping[str, int]],
    compared: Sequence[str] = METHODS,
    seeds: Sequence[int] = (0,),
    demonstrations: str = "fresh",
    chosen_rates: Mapping[str, Mapping[str, float]] | None = None,
    search_rates: Mapping[str, Sequence[float]] | None = None,
    search_seeds: Sequence[int] = (SEARCH_SEED,),
    held_out: int = HELD_OUT,
    precision: str = "fp32",
    micro_batch: int | None = None,
    timed: Mapping[str, int] | None = None,
) -> Plan:
    """From the notebook's parameters to its runs.

    `settings`: the tasks of Table 5, each with the `SIZES` in which it differs from the paper; of `seeds` a task has
    the first so many. `chosen_rates`: by task and method, those of a second table; `search_rates`: by method, tried on
    the tasks of that table, over `search_seeds`, and scored on `held_out` training examples. `timed`: a task, and how
    many turns each trained method has on it; none: nothing is timed.
    """
    chosen_rates, search_rates, timed = chosen_rates or {}, search_rates or {}, timed or {}
    check_seeds(seeds)
    _check_settings(settings, len(seeds))
    check_names("task", {"chosen_rates": chosen_rates, "timed": timed}, settings)
    _check_methods(compared, chosen_rates, search_rates)
    check_search(search_seeds, seeds, held_out)
    if len(timed) > 1 or min(timed.values(), default=1) < 1:
        raise UserError(f"timed: {timed}; give one task, and at least one turn (three or more for an interval)")

    sizes = {size: {task: own.get(size) for task, own in settings.items()} for size in ("n_train", "epochs", "n_eval")}
    common = {"precision": precision, "micro_batch": micro_batch, "ranked": False}
    shared = Shared(model=model, source=source, **sizes, **common)

    def table(task: str, rates: Mapping[str, float]) -> list[RunSpec]:
        in_context = {"shots": settings[task].get("shots"), "demonstrations": demonstrations}
        return [
            shared.spec(
                task,
                method,
                seed=seed,
                learning_rate=rates.get(method),
                **(in_context if method == "in_context" else {}),
            )
            for method in compared
            for seed in seeds[: 1 if methods.is_seedless(method) else settings[task].get("seeds")]
        ]

    searched = [
        shared.search(task, method, rates, held_out=held_out, seeds=search_seeds)
        for task in chosen_rates
        for method, rates in search_rates.items()
    ]
    return Plan(
        search=tuple(spec for specs in searched for spec in specs),
        paper=tuple(spec for task in settings for spec in table(task, {})),
        chosen=tuple(spec for task, rates in chosen_rates.items() for spec in table(task, rates)),
        timing=_timing(shared, compared, seeds[0], timed),
    )


def _timing(shared: Shared, compared: Sequence[str], seed: int, timed: Mapping[str, int]) -> TimingSpec | None:
    """One epoch of every trained method on `TIMED` examples of a task; None where no task is timed.

    All parameters beside the compared methods, but not where the model is too large to train in fp32.
    """
    if not timed:
        return None
    ((task, repeats),) = timed.items()
    shown = [m for m in TRAINED if m in compared or (m, shared.precision) == ("full", "fp32")]
    runs = [shared.spec(task, method, seed=seed, epochs=1, n_train=TIMED) for method in shown]
    return TimingSpec(runs=tuple(runs), repeats=repeats)


# ------------------------------------------------------------------------------------------ checks of parameters


def _check_settings(settings: Mapping[str, Mapping[str, int]], seeds: int) -> None:
    """Raise `UserError` unless there are tasks, with prompts, whose sizes are known and possible."""
    if not settings:
        raise UserError("settings: {} names no task; give at least one, e.g. {sst2-prompt: {n_train: 128}}")
    prompts = [name for name in tasks.names() if tasks.get(name).prompts]
    check_names("task with prompts", {"settings": settings}, prompts)
    for task, sizes in settings.items():
        check_names(f"size of {task}", {"settings": sizes}, SIZES)
        if not 1 <= sizes.get("seeds", 1) <= seeds:
            raise UserError(
                f"settings: seeds {sizes['seeds']} of {task}; give 1 to {seeds}, as many as there are seeds"
            )


def _check_methods(
    compared: Sequence[str],
    chosen_rates: Mapping[str, Mapping[str, float]],
    search_rates: Mapping[str, Sequence[float]],
) -> None:
    """Raise `UserError` for a method that cannot be compared, or has a rate without being trained here."""
    check_names("method", {"compared": compared}, METHODS)
    check_names("method", {"search_rates": search_rates}, TRAINED)
    check_rates("search_rates", search_rates)
    tuned = [method for method in TRAINED if method in compared]
    check_names("method", {f"chosen_rates of {task}": rates for task, rates in chosen_rates.items()}, tuned)
    if search_rates and not chosen_rates:
        raise UserError(
            f"search_rates: {search_rates} are of no task; name those to search in chosen_rates, e.g. "
            "{sst2-prompt: {}}"
        )
