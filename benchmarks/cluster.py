"""What the Ray engine costs besides its runs: runs a second that do nothing, and how well sleeping ones fill a cluster.

    python benchmarks/cluster.py --address auto --specs 300 --sleep 0.2

A task sleeps and returns the files of a small result; everything else is what a sweep does: placing, checking, storing.
"""

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

from beft_lib import workspace
from beft_lib.engines import cluster, connection
from beft_lib.runs import RunResult, RunSpec, store


def asleep(order, seconds: float) -> dict[str, bytes]:
    """In a worker: a result of nothing, after so many seconds."""
    time.sleep(seconds)
    result = RunResult(
        run_id=order.spec.run_id,
        spec=order.spec.portable,
        status="failed",
        reason="it slept",
        data={"version": order.spec.data},
        cost={},
        environment={},
        recorded=time.time(),
    )
    content = result.model_dump_json().encode()
    return {"result.json": content, store.DIGEST: hashlib.sha256(content).hexdigest().encode()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="auto")
    parser.add_argument("--specs", type=int, default=300)
    parser.add_argument("--sleep", type=float, nargs="+", default=[0.0, 0.2])
    told = parser.parse_args()
    common = {"model": "tiny-bert", "task": "toy-sentiment", "source": "bundled", "n_train": 16, "epochs": 1}
    specs = [RunSpec(**common, method="value", seed=seed) for seed in range(told.specs)]
    ray = connection.connect(told.address)
    for seconds in told.sleep:
        with tempfile.TemporaryDirectory() as folder, workspace.using(workspace.Workspace(runs=Path(folder) / "runs")):
            engine = cluster.OnRay(told.address, specs, print, task=ray.remote(max_retries=0)(_sleeping(seconds)))
            engine.start(specs[:20])
            list(engine.ended())  # workers are there
            started = time.perf_counter()
            engine.start(specs)
            count = len(list(engine.ended()))
            took = time.perf_counter() - started
        best = count * seconds / engine.width
        share = f", {best / took:.0%} of what {engine.width} places can" if seconds else ""
        print(f"{count} runs of {seconds:g} s: {took:.1f} s, {count / took:.0f} a second{share}", flush=True)


def _sleeping(seconds: float):
    def run(order, *_):
        return asleep(order, seconds)

    return run


if __name__ == "__main__":
    main()
