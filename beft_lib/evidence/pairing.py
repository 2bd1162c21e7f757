"""Stored runs, put together: one `Comparison` a model, task and amount of data."""

from collections.abc import Mapping, Sequence
from typing import Any

from beft_lib import tasks
from beft_lib.evidence.comparison import Comparison
from beft_lib.runs import RunSpec, store
from beft_lib.runs.groups import Group
from beft_lib.tuning import methods


def compare(specs: Sequence[RunSpec], variant: str = "", arms: Mapping[RunSpec, str] | None = None) -> list[Comparison]:
    """The stored runs among the specs as comparisons, one a model, task and amount of data, in the specs' order.

    `arms`: what to call a run that its method does not tell apart.

    Raises `ValueError` for two runs of one arm and seed in one setting: they differ in their recipe, and averaging
    them would say nothing.
    """
    settings: dict[tuple[Any, ...], dict[tuple[str, int], RunSpec]] = {}
    for spec in dict.fromkeys(specs):
        own = settings.setdefault((spec.model, spec.task, spec.regime, spec.n_train), {})
        key = ((arms or {}).get(spec, spec.method), spec.seed)
        if own.setdefault(key, spec) is not spec:
            raise ValueError(f"two recipes of one run: {own[key].run_id} and {spec.run_id} ({spec})")
    made = []
    for (model, task, regime, n_train), own in settings.items():
        seeds = dict.fromkeys(seed for method, seed in own if not methods.is_seedless(method))
        own |= {
            (method, seed): spec
            for (method, _), spec in list(own.items())
            if methods.is_seedless(method)
            for seed in seeds
        }
        results = {key: result for key, spec in own.items() if (result := store.trusted(spec)) and result.done}
        first = tasks.get(task).validation[0].split
        made.append(Comparison(model, task, regime, n_train, first, own, results, variant))
    return made


def compare_groups(groups: Sequence[Group]) -> list[Comparison]:
    """The comparisons of every group of a plan."""
    return [found for group in groups for found in compare(group.specs, group.variant, group.arms)]


def of_variant(comparisons: Sequence[Comparison], variant: str) -> list[Comparison]:
    """The comparisons of one group."""
    return [c for c in comparisons if c.variant == variant]


def compare_one(specs: Sequence[RunSpec]) -> Comparison:
    """The comparison of specs that belong to one setting."""
    (found,) = compare(specs)
    return found


def title(method: str, comparison: Comparison) -> str:
    """How a table calls the method, saying where the head's runs stand for b_k."""
    return methods.title(method) + (" (= head only)" if method == "key" and comparison.serves_key else "")
