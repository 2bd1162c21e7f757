"""One experiment, described by a `RunSpec`, carried out by `run`, kept in a content-addressed store.

spec = RunSpec(model="minilm-l6", task="toy-sentiment", source="bundled", method="value")
result = run(spec)                 # trains, evaluates, stores
stored(spec)                       # the same result, read back
delta(spec), predictions(spec)     # the tuned change of each bias; logits, labels, ids
adapter(spec)                      # the tuned biases with their head, to be saved, merged or attached (`adapters`)

spec, result       what a run is, and what comes out of it
execute            one run from start to stored result, with `encoder`, `decoder` and `examples`
store, tuned       where results lie, and what else of a run can be read back
forgetting         data of one's own and its runs, removed
frames             stored runs as tables: results.csv and importance.csv
records, published the runs behind a committed report, and their index
groups             which runs of a plan are compared
timing, machine    what methods cost, and on what they were measured
probes             what is measured of a model before tuning
"""

from importlib import import_module
from typing import TYPE_CHECKING

from beft_lib.runs.result import Damaged, Importance, RunResult, Value
from beft_lib.runs.spec import RANKING_RECIPE, RECIPE_VERSION, SHARES, RunSpec

if TYPE_CHECKING:
    from beft_lib.runs.execute import run
    from beft_lib.runs.tuned import adapter, delta, predictions, stored

__all__ = [
    "RANKING_RECIPE",
    "RECIPE_VERSION",
    "SHARES",
    "Damaged",
    "Importance",
    "RunResult",
    "RunSpec",
    "Value",
    "adapter",
    "delta",
    "predictions",
    "run",
    "stored",
]

_ON_USE = {"run": "execute", "adapter": "tuned", "delta": "tuned", "predictions": "tuned", "stored": "tuned"}


def __getattr__(name: str):
    """What needs torch is loaded on use, so that a run can be described, planned and counted without it."""
    if name in _ON_USE:
        return getattr(import_module(f"{__name__}.{_ON_USE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
