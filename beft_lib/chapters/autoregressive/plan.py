"""§3.5, Table 5: does tuning b_v carry over to decoders, and how does it stand to other ways of using one?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beft_lib import tasks
from beft_lib.chapters.plans import CHOSEN, PAPER, SEARCH_SEED, check_seeds
from beft_lib.errors import UserError, unknown
from beft_lib.runs import RunSpec
from beft_lib.runs.groups import Group
from beft_lib.runs.timing import TimingSpec
from beft_lib.tuning import methods

TRAINED = ("value", "query", "key", "all_biases", "lora", "prefix", "full")
METHODS = (*TRAINED, "in_context", "zero_shot")  # the rows of Table 5, with all biases and all parameters beside them
SIZES = ("n_train", "epochs", "n_eval", "shots", "seeds")
TIMED = 32  # training examples of a timed run, one epoch of them
HELD_OUT = 100  # training examples that the runs of the search are scored on


@dataclass(frozen=True)
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
    model: str,
    source: str,
    settings: Mapping[str, Mapping[str, int]],
    compared: Sequence[str] = METHODS,
    seeds: Sequence[int] = (0,),
    demonstrations: str = "fresh",
    chosen_rates: Mapping[str, Mapping[str, float]] | None = None,
    search_rates: Mapping[str, Sequence[float]] | None = None,
    precision: str = "fp32",
    micro_batch: int | None = None,
    timed: Mapping[str, int] | None = None,
) -> Plan:
    """From the notebook's parameters to its runs.

    `settings`: the tasks of Table 5, each with the `SIZES` in which it differs from the paper; of `seeds` a task has
    the first so many. `chosen_rates`: by task and method, those of a second table; `search_rates`: by method, tried on
    the tasks of that table. `timed`: a task, and how many turns each trained method has on it; none: nothing is timed.
    """
    chosen_rates, search_rates, timed = dict(chosen_rates or {}), dict(search_rates or {}), dict(timed or {})
    check_seeds(seeds)
    if not settings:
        raise UserError("settings: {} names no task; give at least one, e.g. {sst2-prompt: {n_train: 128}}")
    for task, sizes in settings.items():
        if not tasks.get(task).prompts:
            prompts = [name for name in tasks.names() if tasks.get(name).prompts]
            raise unknown("task with prompts in settings:", task, prompts)
        for name in sizes:
            if name not in SIZES:
                raise unknown(f"size of {task} in settings:", name, SIZES)
        if not 1 <= sizes.get("seeds", 1) <= len(seeds):
            raise UserError(
                f"settings: seeds {sizes['seeds']} of {task}; give 1 to {len(seeds)}, as many as there are seeds"
            )
    for name, given in {"chosen_rates": chosen_rates, "timed": timed}.items():
        for task in given:
            if task not in settings:
                raise unknown(f"task in {name}:", task, settings)
    by_method = {"compared": (compared, METHODS), "search_rates": (search_rates, TRAINED)}
    tuned = [method for method in TRAINED if method in compared]
    by_method |= {f"chosen_rates of {task}": (given, tuned) for task, given in chosen_rates.items()}
    for name, (given, valid) in by_method.items():
        for method in given:
            if method not in valid:
                raise unknown(f"method in {name}:", method, valid)
    if search_rates and not chosen_rates:
        raise UserError(
            f"search_rates: {search_rates} are of no task; name those to search in chosen_rates, e.g. "
            "{sst2-prompt: {}}"
        )
    if len(timed) > 1 or min(timed.values(), default=1) < 1:
        raise UserError(f"timed: {timed}; give one task, and at least one turn (three or more for an interval)")

    def spec(task: str, method: str, **more) -> RunSpec:
        fields = {"model": model, "task": task, "source": source, "method": method, "precision": precision}
        fields |= {name: value for name, value in settings[task].items() if name not in ("shots", "seeds")}
        fields |= {"regime": None if "n_train" in settings[task] else "low", "micro_batch": micro_batch}
        if method == "in_context":
            fields |= {"shots": settings[task].get("shots"), "demonstrations": demonstrations}
        return RunSpec(**fields | more)

    def table(task: str, rates: Mapping[str, float]) -> list[RunSpec]:
        own = seeds[: settings[task].get("seeds")]
        return [
            spec(task, method, seed=seed, learning_rate=rates.get(method))
            for method in compared
            for seed in (own[:1] if methods.is_seedless(method) else own)
        ]

    searched = tuple(
        spec(
            task,
            method,
            seed=SEARCH_SEED,
            learning_rate=rate,
            evaluation="development",
            n_eval=HELD_OUT,
            each_epoch=True,
        )
        for task in chosen_rates
        for method, rates in search_rates.items()
        for rate in rates
    )
    paper = tuple(run for task in settings for run in table(task, {}))
    chosen = tuple(run for task in chosen_rates for run in table(task, chosen_rates[task]))
    timing = None
    for task, repeats in timed.items():
        # All parameters beside the compared methods, but not where the model is too large to train in fp32.
        shown = [method for method in TRAINED if method in compared or (method, precision) == ("full", "fp32")]
        runs = (spec(task, method, seed=seeds[0], epochs=1, n_train=TIMED, regime=None) for method in shown)
        timing = TimingSpec(runs=tuple(runs), repeats=repeats)
    return Plan(searched, paper, chosen, timing)
