"""What a sweep costs besides its runs: specs, planning, the store, progress, by their number.

    python benchmarks/sweeping.py --specs 1000 10000 100000

The runs do nothing: an engine answers at once, and stores a small result. A line a number of specs, in microseconds a
spec; what grows with the number is not linear.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from beft_lib import engines, sweep, workspace
from beft_lib.runs import RunResult, RunSpec, machine, store


class NoOp:
    """Stores a result of nothing for each run."""

    attempts, width = 1, 100

    def __init__(self):
        self._waiting = {}
        self._environment = {"processor": machine.processor(), "packages": {}}

    def start(self, specs, lost=()):
        self._waiting |= dict.fromkeys(specs)

    def ended(self):
        while self._waiting:
            spec = next(iter(self._waiting))
            del self._waiting[spec]
            value = {"metric": "accuracy", "split": "validation", "value": 0.5, "stderr": 0.1, "n": 400}
            result = RunResult(
                run_id=spec.run_id,
                spec=spec.portable,
                status="done",
                data={"available": 1000},
                metrics=[value],
                cost={"seconds": 1.0, "trainable": 64, "parameters": 1000},
                environment=self._environment,
                recorded=time.time(),
            )
            store.write(result, {"delta.safetensors": b"0" * 4096})
            yield engines.Finished(spec, result)

    def state(self):
        return ""


def measured(count: int) -> dict[str, tuple[float, float]]:
    """Microseconds a spec of each part: of the processor, and by the clock, which waits for the disk too."""
    found = {}

    def clock(name, call):
        started, used = time.perf_counter(), time.process_time()
        made = call()
        found[name] = (time.process_time() - used) / count * 1e6, (time.perf_counter() - started) / count * 1e6
        return made

    common = {"model": "tiny-bert", "task": "toy-sentiment", "source": "bundled", "n_train": 16, "epochs": 1}
    specs = clock("specs", lambda: [RunSpec(**common, method="value", seed=seed) for seed in range(count)])
    clock("ids", lambda: [spec.run_id for spec in specs])
    planned = clock("plan, empty store", lambda: sweep.plan(specs))
    clock("sweep of no-ops", lambda: sweep._carry_out(planned, NoOp(), lambda line: None))
    clock("plan, full store", lambda: sweep.plan(specs))
    clock("speeds, full store", lambda: sweep.speeds(["tiny-bert"]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--specs", type=int, nargs="+", default=[1000, 10_000])
    for count in parser.parse_args().specs:
        with tempfile.TemporaryDirectory() as folder:
            with workspace.using(workspace.Workspace(runs=Path(folder) / "runs")):
                found = measured(count)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        parts = ", ".join(f"{name} {cpu:.0f} ({clock:.0f})" for name, (cpu, clock) in found.items())
        print(f"{count} specs, µs of the processor (by the clock) each: {parts}; {peak:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
