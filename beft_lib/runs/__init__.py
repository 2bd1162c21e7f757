"""One experiment, described by a `RunSpec`, carried out by `run`, kept in a content-addressed store.

spec = RunSpec(model="minilm-l6", task="toy-sentiment", source="bundled", method="value")
result = run(spec)                 # trains, evaluates, stores
stored(spec)                       # the same result, read back
delta(spec), predictions(spec)     # the tuned change of each bias; logits, labels, ids
"""

import io

from beft_lib.errors import UserError
from beft_lib.runs.spec import RANKING_RECIPE, RECIPE_VERSION, SHARES, RunSpec
from beft_lib.runs.store import Damaged, Importance, RunResult, Value

__all__ = [
    "RANKING_RECIPE",
    "RECIPE_VERSION",
    "SHARES",
    "Damaged",
    "Importance",
    "RunResult",
    "RunSpec",
    "Value",
    "delta",
    "predictions",
    "run",
    "stored",
]


def run(spec: RunSpec) -> RunResult:
    """Carry out a spec and store its result (see `runs.execute.run`)."""
    from beft_lib.runs.execute import run as execute  # heavy imports wait until something is trained

    return execute(spec)


def stored(spec: RunSpec) -> RunResult:
    """The stored result of a spec; `UserError` if it was not run yet, `Damaged` if it cannot be trusted."""
    from beft_lib.runs import store

    if (result := store.read(spec)) is None:
        raise UserError(
            f"run {spec.run_id} ({spec}) is not in {store.workspace.runs_folder()}; run it with sweep([spec])"
        )
    return result


def delta(spec: RunSpec) -> dict:
    """The tuned change of every bias, {handle key: tensor (d,)}, fp64 (see `adapters`)."""
    from safetensors.torch import load

    from beft_lib.runs import store

    stored(spec)
    file = store.folder(spec.run_id) / "delta.safetensors"
    if not file.exists():
        why = "published records hold none" if store.workspace.published() else f"method {spec.method!r} tunes no bias"
        raise UserError(f"run {spec.run_id} ({spec}) has no change of biases: {why}")
    return load(file.read_bytes())


def predictions(spec: RunSpec) -> dict:
    """What the run predicted, {"validation/logits": (n, c), "validation/labels": (n,), "validation/ids": (n,)}."""
    import numpy as np

    from beft_lib.runs import store

    stored(spec)
    content = (store.folder(spec.run_id) / "predictions.npz").read_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
