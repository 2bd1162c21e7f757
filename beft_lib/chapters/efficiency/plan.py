"""§3.3, Tables 2 and 3: what tuning b_v costs and achieves against everything else, and what merging two b_v does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beft_lib import tasks
from beft_lib.chapters.plans import CHOSEN, PAPER, SEARCH_SEED, check_seeds
from beft_lib.errors import UserError, unknown
from beft_lib.runs import RunSpec
from beft_lib.runs.groups import Group
from beft_lib.runs.timing import TimingSpec

METHODS = ("value", "random", "all_biases", "full", "lora", "prefix", "head_only")
TASK_HEADS, OWN_HEADS = "merging, the head of the evaluated task", "merging, the heads that came with the biases"
KIN, APART = "one task's b_v of two seeds", "two tasks' b_v of two seeds"
OWN, OTHER, BASE, MERGED = "own", "other", "base", "merged"  # arms of Table 3, by whose b_v the model has
HELD_OUT = 200  # training examples that the runs of the search are scored on


@dataclass(frozen=True)
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
        tuned = [spec for own in self.tuned.values() for spec in own]
        return list(dict.fromkeys([*self.search, *tuned, *self.compared]))


def plan(
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
    other_rate: float | None = None,
    weights: Sequence[float] = (0.0, 0.5, 1.0),
    repeats: int = 3,
    timed_examples: int | None = None,
) -> Plan:
    """From the notebook's parameters to its runs.

    `task`: of Table 2, and the first of Table 3; `other`: the second. `n_train`, `epochs` and `n_eval` by task; what is
    not given is the paper's. `chosen_rates` and `search_rates` by method; `search`: epochs of the search, 0 for none.
    `other_rate`: of b_v on `other`; on `task` it has its chosen rate, or the paper's. `weights`: of the evaluated
    task's own b_v in a mixture, the other one has the rest.
    """
    check_seeds(seeds)
    n_train, epochs, n_eval, chosen_rates, search_rates = (
        dict(given or {}) for given in (n_train, epochs, n_eval, chosen_rates, search_rates)
    )
    if task == other:
        raise UserError(f"other: {other!r} is the task itself; two different tasks are merged")
    for name, given in (("n_train", n_train), ("epochs", epochs), ("n_eval", n_eval)):
        for key in given:
            if key not in (task, other):
                raise unknown(f"task in {name}:", key, (task, other))
    for name, given in (("chosen_rates", chosen_rates), ("search_rates", search_rates)):
        for key in given:
            if key not in METHODS:
                raise unknown(f"method in {name}:", key, METHODS)
    if tasks.get(task).regression or tasks.get(other).regression:
        raise UserError(f"{task}, {other}: a regression has no accuracy; give two classification tasks")
    if bad := [w for w in weights if not 0 <= w <= 1]:
        raise UserError(
            f"weights: {bad[0]} is not between 0 and 1; give shares of a task's own b_v, e.g. [0.0, 0.5, 1.0]"
        )
    if repeats < 1:
        raise UserError(f"repeats: {repeats}; give at least one turn, and three or more for an interval")
    if empty := [method for method, rates in search_rates.items() if not rates]:
        raise UserError(f"search_rates: {empty[0]}: [] names no learning rate; give some, or leave the method out")
    if chosen_rates and (missing := [method for method in METHODS if method not in chosen_rates]):
        raise UserError(
            f"chosen_rates: no rate for {', '.join(missing)}; give every method one (its search's choice, or the "
            "paper's), or none to any: a tuned method beside untuned ones compares nothing"
        )
    if bool(search) != bool(search_rates):
        raise UserError(f"search: {search} epochs with search_rates {search_rates}; give both to search, or neither")

    def spec(name: str, method: str, **more) -> RunSpec:
        fields = {"model": model, "task": name, "source": source, "method": method, "regime": regime}
        fields |= {"n_train": n_train.get(name), "epochs": epochs.get(name), "n_eval": n_eval.get(name)}
        if fields["n_train"]:
            fields["regime"] = None
        if method == "all_biases":
            fields["ranking"] = True
        return RunSpec(**fields | more)

    searched = tuple(
        spec(
            task,
            method,
            seed=SEARCH_SEED,
            learning_rate=rate,
            epochs=search,
            evaluation="development",
            n_eval=HELD_OUT,
            each_epoch=True,
            ranking=False,
        )
        for method in search_rates
        for rate in search_rates[method]
    )
    paper = tuple(spec(task, method, seed=seed) for method in METHODS for seed in seeds)
    chosen = tuple(
        spec(task, method, seed=seed, learning_rate=chosen_rates.get(method))
        for method in METHODS
        for seed in seeds
        if chosen_rates
    )
    tuned = {
        task: tuple(spec(task, "value", seed=seed, learning_rate=chosen_rates.get("value")) for seed in seeds),
        other: tuple(spec(other, "value", seed=seed, learning_rate=other_rate) for seed in seeds),
    }
    shares = sorted({0.0, 0.5, 1.0, *weights})
    same_labels = tasks.get(task).num_labels == tasks.get(other).num_labels
    merged = [_merged(spec, tuned, seeds, shares, TASK_HEADS)]
    if same_labels:
        merged.append(_merged(spec, tuned, seeds, (0.0, 0.5, 1.0), OWN_HEADS))

    def pairs(with_other_task: bool) -> tuple[RunSpec, ...]:
        second = dict(zip(tuned, reversed(list(tuned)))) if with_other_task else {name: name for name in tuned}
        return tuple(
            spec(
                name,
                "merged",
                seed=seed,
                parts=((own[i].run_id, 0.5), (tuned[second[name]][i + 1].run_id, 0.5)),
                head_of=(own[i].run_id,),
            )
            for name, own in tuned.items()
            for i, seed in enumerate(seeds[:-1])
        )

    timed = TimingSpec(
        runs=tuple(
            spec(
                task,
                method,
                seed=seeds[0],
                epochs=1,
                **({} if timed_examples is None else {"n_train": timed_examples, "regime": None}),
            )
            for method in METHODS
        ),
        repeats=repeats,
    )
    across = tuple(s for s, name in merged[0].arms.items() if name == MERGED and s.task == task)
    return Plan(searched, paper, chosen, tuned, tuple(merged), pairs(False), pairs(True), across, timed)


def arm(share: float) -> str:
    """How a mixture is called, by the share of the evaluated task's own b_v in it."""
    return {0.0: OTHER, 0.5: MERGED, 1.0: OWN}.get(share, f"{OWN} {share!r}")


def share_of(name: str) -> float | None:
    """The share of the evaluated task's own b_v in a mixture that is called so; None for another arm."""
    known = {OTHER: 0.0, MERGED: 0.5, OWN: 1.0}
    return known[name] if name in known else float(name.split()[1]) if name.startswith(f"{OWN} ") else None


def _merged(spec, tuned: Mapping[str, tuple[RunSpec, ...]], seeds, shares, variant: str) -> Group:
    """Table 3: on each task every mixture of its own b_v and the other task's, and the model's own b_v."""
    arms = {}
    for name, other in zip(tuned, reversed(list(tuned))):
        for seed, own, theirs in zip(seeds, tuned[name], tuned[other]):
            for share in (*shares, None):
                parts = () if share is None else ((own.run_id, share), (theirs.run_id, 1 - share))
                if variant == TASK_HEADS:
                    heads = (own.run_id,)
                else:
                    heads = tuple(run for run, weight in parts if weight)
                made = spec(name, "merged", seed=seed, parts=parts, head_of=heads or None)
                arms[made] = BASE if share is None else arm(share)
    return Group(tuple(arms), variant, arms)
