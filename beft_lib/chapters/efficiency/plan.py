"""§3.3, Tables 2 and 3: what tuning b_v costs and achieves against everything else, and what merging two b_v does."""

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
from beft_lib.runs.spec import ONE_PASS
from beft_lib.runs.timing import TimingSpec

METHODS = ("value", "random", "all_biases", "full", "lora", "prefix", "head_only")
TASK_HEADS, OWN_HEADS = "merging, the head of the evaluated task", "merging, the heads that came with the biases"
KIN, APART = "one task's b_v of two seeds", "two tasks' b_v of two seeds"
OWN, OTHER, BASE, MERGED = "own", "other", "base", "merged"  # arms of Table 3, by whose b_v the model has
HELD_OUT = 200  # training examples that the runs of the search are scored on


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs of the notebook."""

    search: tuple[RunSpec, ...]  # each method at several learning rates, scored on held-out training examples
    paper: tuple[RunSpec, ...]  # Table 2 at the paper's learning rates
    chosen: tuple[RunSpec, ...]  # Table 2 at the chosen ones
    tuned: Mapping[str, tuple[RunSpec, ...]]  # of each of the two tasks, b_v: what is merged
    merged: tuple[Group, ...]  # Table 3: a group a choice of heads
    kin: tuple[RunSpec, ...]  # b_v of one task from a seed and the next, averaged: how alike changes of one task are
    apart: tuple[RunSpec, ...]  # likewise, but the next seed's is the other task's
    across: tuple[RunSpec, ...]  # the averages of both tasks' b_v of one seed, which share the head's start
    timing: TimingSpec

    @property
    def groups(self) -> list[Group]:
        table2 = [Group(self.paper, PAPER), Group(self.chosen, CHOSEN)]
        pairs = [Group(self.kin, KIN), Group(self.apart, APART)]
        return [group for group in (*table2, *self.merged, *pairs) if group.specs]

    @property
    def timings(self) -> tuple[TimingSpec, ...]:
        return (self.timing,)

    @property
    def compared(self) -> list[RunSpec]:
        return list(dict.fromkeys(spec for group in self.groups for spec in group.specs))

    @property
    def specs(self) -> list[RunSpec]:
        tuned = [spec for specs in self.tuned.values() for spec in specs]
        return list(dict.fromkeys([*self.search, *tuned, *self.compared]))


def plan(
    *,
    model: str,
    source: str,
    task: str,
    other: str,
    seeds: Sequence[int] = (0,),
    regime: str = "low",
    n_train: Mapping[str, int] | None = None,
    epochs: Mapping[str, int] | None = None,
    n_eval: Mapping[str, int] | None = None,
    chosen_rates: Mapping[str, float] | None = None,
    search: int = 0,
    search_rates: Mapping[str, Sequence[float]] | None = None,
    search_seeds: Sequence[int] = (SEARCH_SEED,),
    held_out: int = HELD_OUT,
    other_rate: float | None = None,
    weights: Sequence[float] = (0.0, 0.5, 1.0),
    repeats: int = 3,
    timed_examples: int | None = None,
) -> Plan:
    """From the notebook's parameters to its runs.

    `task`: of Table 2, and the first of Table 3; `other`: the second. `n_train`, `epochs` and `n_eval` by task; what is
    not given is the paper's. `chosen_rates` and `search_rates` by method; `search`: epochs of the search, 0 for none;
    `search_seeds` and `held_out`: its seeds, and the training examples that it is scored on.
    `other_rate`: of b_v on `other`; on `task` it has its chosen rate, or the paper's. `weights`: of the evaluated
    task's own b_v in a mixture, the other one has the rest.
    """
    chosen, tried = chosen_rates or {}, search_rates or {}
    check_seeds(seeds)
    _check_tasks(task, other, {"n_train": n_train or {}, "epochs": epochs or {}, "n_eval": n_eval or {}})
    _check_rates(chosen, search, tried)
    check_search(search_seeds, seeds, held_out)
    _check_amounts(weights, repeats)
    shared = Shared(
        model=model, source=source, regime=regime, n_train=n_train or {}, epochs=epochs or {}, n_eval=n_eval or {}
    )
    asked = {"held_out": held_out, "seeds": search_seeds, "epochs": search}
    searched = [shared.search(task, method, rates, **asked) for method, rates in tried.items()]
    tuned = {
        name: tuple(shared.spec(name, "value", seed=seed, learning_rate=rate) for seed in seeds)
        for name, rate in ((task, chosen.get("value")), (other, other_rate))
    }
    merged = _table3(shared, tuned, weights)
    return Plan(
        search=tuple(spec for specs in searched for spec in specs),
        paper=tuple(shared.spec(task, method, seed=seed) for method in METHODS for seed in seeds),
        chosen=tuple(
            shared.spec(task, method, seed=seed, learning_rate=chosen[method])
            for method in (METHODS if chosen else ())
            for seed in seeds
        ),
        tuned=tuned,
        merged=merged,
        kin=_pairs(shared, tuned, {name: name for name in tuned}),
        apart=_pairs(shared, tuned, {task: other, other: task}),
        across=tuple(spec for spec, name in merged[0].arms.items() if (name, spec.task) == (MERGED, task)),
        timing=_timing(shared, task, seeds[0], repeats, timed_examples),
    )


# ------------------------------------------------------------------------------------------ checks of parameters


def _check_tasks(task: str, other: str, sizes: Mapping[str, Mapping[str, int]]) -> None:
    """Raise `UserError` unless there are two tasks with accuracies, and `sizes` are theirs."""
    if task == other:
        raise UserError(f"other: {other!r} is the task itself; two different tasks are merged")
    check_names("task", sizes, (task, other))
    if tasks.get(task).regression or tasks.get(other).regression:
        raise UserError(f"{task}, {other}: a regression has no accuracy; give two classification tasks")


def _check_rates(chosen: Mapping[str, float], search: int, tried: Mapping[str, Sequence[float]]) -> None:
    """Raise `UserError` where a method is not of Table 2, or rates are given to some methods only, or to none."""
    check_names("method", {"chosen_rates": chosen, "search_rates": tried}, METHODS)
    check_rates("search_rates", tried)
    if chosen and (missing := [method for method in METHODS if method not in chosen]):
        raise UserError(
            f"chosen_rates: no rate for {', '.join(missing)}; give every method one (its search's choice, or the "
            "paper's), or none to any: a tuned method beside untuned ones compares nothing"
        )
    if bool(search) != bool(tried):
        raise UserError(f"search: {search} epochs with search_rates {tried}; give both to search, or neither")


def _check_amounts(weights: Sequence[float], repeats: int) -> None:
    """Raise `UserError` for a weight that is no share, and for a timing without a turn."""
    if bad := [weight for weight in weights if not 0 <= weight <= 1]:
        raise UserError(
            f"weights: {bad[0]} is not between 0 and 1; give shares of a task's own b_v, e.g. [0.0, 0.5, 1.0]"
        )
    if repeats < 1:
        raise UserError(f"repeats: {repeats}; give at least one turn, and three or more for an interval")


# ------------------------------------------------------------------------------------------------------- merging

Tuned = Mapping[str, tuple[RunSpec, ...]]  # of each of the two tasks, the runs of b_v, one a seed


def mixture(share: float) -> str:
    """How a mixture is called, by the share of the evaluated task's own b_v in it."""
    return {0.0: OTHER, 0.5: MERGED, 1.0: OWN}.get(share, f"{OWN} {share!r}")


def share_of(name: str) -> float | None:
    """The share of the evaluated task's own b_v in a mixture that is called so; None for another arm."""
    known = {OTHER: 0.0, MERGED: 0.5, OWN: 1.0}
    return known[name] if name in known else float(name.split()[1]) if name.startswith(f"{OWN} ") else None


def _table3(shared: Shared, tuned: Tuned, weights: Sequence[float]) -> tuple[Group, ...]:
    """Table 3: with the head of the evaluated task, and, where both heads have one size, with those of the biases."""
    first, second = (tasks.of_encoder(name).num_labels for name in tuned)
    groups = [_mixtures(shared, tuned, sorted({0.0, 0.5, 1.0, *weights}), TASK_HEADS)]
    if first == second:
        groups.append(_mixtures(shared, tuned, [0.0, 0.5, 1.0], OWN_HEADS))
    return tuple(groups)


def _mixtures(shared: Shared, tuned: Tuned, shares: Sequence[float], variant: str) -> Group:
    """On each task every mixture of its own b_v and the other task's, and the model's own b_v."""
    arms = {}
    for task, other in zip(tuned, reversed(list(tuned))):
        for mine, theirs in zip(tuned[task], tuned[other]):
            for share in (*shares, None):
                parts = () if share is None else ((mine.run_id, share), (theirs.run_id, 1 - share))
                heads = (mine.run_id,) if variant == TASK_HEADS else tuple(run for run, weight in parts if weight)
                spec = shared.spec(task, "merged", seed=mine.seed, parts=parts, head_of=heads or None)
                arms[spec] = BASE if share is None else mixture(share)
    return Group(tuple(arms), variant, arms)


def _pairs(shared: Shared, tuned: Tuned, partner: Mapping[str, str]) -> tuple[RunSpec, ...]:
    """Of each task the average of each seed's b_v and the next seed's of its `partner`, with the first one's head."""
    return tuple(
        shared.spec(
            task,
            "merged",
            seed=first.seed,
            parts=((first.run_id, 0.5), (second.run_id, 0.5)),
            head_of=(first.run_id,),
        )
        for task in tuned
        for first, second in zip(tuned[task], tuned[partner[task]][1:])
    )


def _timing(shared: Shared, task: str, seed: int, repeats: int, examples: int | None) -> TimingSpec:
    """One epoch of every method, on so many examples (None: as many as Table 2's), all through one forward pass."""
    fewer = {} if examples is None else {"n_train": examples}
    runs = [shared.spec(task, method, seed=seed, epochs=1, recipe=ONE_PASS, **fewer) for method in METHODS]
    return TimingSpec(runs=tuple(runs), repeats=repeats)
