"""What the plans of several chapters share: the checks of their parameters, and how runs are made from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from beft_lib import models
from beft_lib.errors import UserError, unknown
from beft_lib.runs import RunSpec
from beft_lib.tuning.methods import ATTENTION_TERMS

SEARCH_SEED = 100  # of the runs that choose a learning rate: none of the runs that are reported
PAPER, CHOSEN = "the authors' learning rate", "rates of their own, searched on development examples"  # variants


def single_terms(model: str) -> list[str]:
    """The terms to tune alone: not b_k where a run of it is known to be a run of the head alone."""
    return [term for term in ATTENTION_TERMS if not (term == "key" and models.key_is_inert(model))]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What the runs of a plan share; `spec` makes one of them.

    `learning_rates`, `epochs`, `n_train` and `n_eval` are by task; a task that has none has the paper's. A task with an
    `n_train` of its own is of the regime "custom", unless `keeps_regime`. `ranked`: whether runs of all biases are the
    ones that rank them. `head`: "bias" trains of a head's hidden layer its bias alone.
    """

    model: str
    source: str
    regime: str = "low"
    keeps_regime: bool = False
    learning_rates: Mapping[str, float | None] = field(default_factory=dict)
    epochs: Mapping[str, int | None] = field(default_factory=dict)
    n_train: Mapping[str, int | None] = field(default_factory=dict)
    n_eval: Mapping[str, int | None] = field(default_factory=dict)
    precision: str = "fp32"
    micro_batch: int | None = None
    ranked: bool = True
    head: str | None = None

    def spec(self, task: str, method: str, **more) -> RunSpec:
        """A run of one method on one task; `more`: further fields of the spec, also in the place of those shared."""
        fields = {"model": self.model, "task": task, "source": self.source, "method": method, "regime": self.regime}
        fields |= {"learning_rate": self.learning_rates.get(task), "epochs": self.epochs.get(task)}
        fields |= {"n_train": self.n_train.get(task), "n_eval": self.n_eval.get(task)}
        fields |= {"precision": self.precision, "micro_batch": self.micro_batch, "head": self.head}
        fields |= {"ranking": self.ranked and method == "all_biases"} | more
        if fields["n_train"] is not None and not self.keeps_regime:
            del fields["regime"]
        return RunSpec(**fields)

    def search(
        self,
        task: str,
        method: str,
        rates: Sequence[float],
        *,
        held_out: int,
        seeds: Sequence[int] = (SEARCH_SEED,),
        **more,
    ) -> list[RunSpec]:
        """A method at several learning rates, scored after each epoch on so many training examples held out.

        With several seeds it can be seen whether the choice is stable (see `rate_search.stability`).
        """
        asked = {"evaluation": "development", "n_eval": held_out, "each_epoch": True, "ranking": False} | more
        return [self.spec(task, method, learning_rate=rate, seed=seed, **asked) for rate in rates for seed in seeds]


# ------------------------------------------------------------------------------------------ checks of parameters


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise `UserError` unless there is a seed, and each once."""
    if not seeds:
        raise UserError("seeds: [] leaves nothing to run; give at least one, e.g. [0], and three for an interval")
    if len(set(seeds)) != len(seeds):
        raise UserError(f"seeds: {list(seeds)} repeats a seed, which would count one run twice; give each once")


def check_search(search_seeds: Sequence[int], seeds: Sequence[int], held_out: int) -> None:
    """Raise `UserError` where a search has no seed, or one of the runs that are reported, or too few examples."""
    check_seeds(search_seeds)
    if shared := [seed for seed in search_seeds if seed in seeds]:
        raise UserError(
            f"search_seeds: {shared[0]} is a seed of the runs that are reported, which would share the luck "
            "that their rate is chosen by; give others, e.g. [100, 101, 102]"
        )
    if held_out < 2:
        raise UserError(f"held_out: {held_out}; give at least 2 training examples to score on, e.g. 300")


def check_each_once(parameter: str, names: Sequence[str], what: str) -> None:
    """Raise `UserError` unless a parameter names at least one of what it lists, and each once."""
    if not names or len(set(names)) != len(names):
        raise UserError(f"{parameter}: {list(names)}; give at least one {what}, each once")


def check_names(what: str, given: Mapping[str, Iterable[str]], valid: Iterable[str]) -> None:
    """Raise `UserError` for the first name, in any of the parameters `given`, that is not valid."""
    known = list(valid)
    for parameter, names in given.items():
        for name in names:
            if name not in known:
                raise unknown(f"{what} in {parameter}:", name, known)


def check_rates(parameter: str, rates: Mapping[str, Sequence[float]]) -> None:
    """Raise `UserError` for a method that is to be searched without a learning rate."""
    if empty := [method for method, tried in rates.items() if not tried]:
        raise UserError(f"{parameter}: {empty[0]}: [] names no learning rate; give some, or leave the method out")
