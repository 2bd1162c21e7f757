"""Runs on this machine: single-threaded worker processes side by side (see `runs.workers`)."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool

from beft_lib import runs, workspace
from beft_lib.engines.interface import Finished, Lost, Waited
from beft_lib.runs import RunResult, RunSpec, store
from beft_lib.runs.workers import call, caller, pool

PATIENCE = 20.0, 320.0  # seconds without an end, after which it is said how far the runs are: at first, and at most
DIED = "its process died without an error, as happens when memory runs out; a smaller batch or model may help"


class Local:
    """`workers` processes, each with cores // workers threads. One that dies ends all of them, as they share a queue:
    the rest then goes on with one at a time, so that the run which ends its process is known, and lost alone."""

    attempts = 1

    def __init__(self, workers: int, report: Callable[[str], None]):
        self._workers, self._report = workers, report
        self._waiting: dict[RunSpec, None] = {}

    @property
    def width(self) -> int:
        return self._workers

    def start(self, specs: Sequence[RunSpec], lost: Sequence[Lost] = ()) -> None:
        self._waiting |= dict.fromkeys(specs)

    def ended(self) -> Generator[Finished | Lost | Waited, None, None]:
        fresh = workspace.fresh_since() > 0
        while self._waiting:
            yield from self._in_processes(fresh)
            if self._waiting and self._workers > 1:
                self._report("  a worker process died (out of memory?); the rest goes on with one worker at a time")
                self._workers, fresh = 1, False
            elif self._waiting:  # the only worker died: it had the first of the specs that are left
                spec = next(iter(self._waiting))
                del self._waiting[spec]
                yield Lost(spec, DIED)

    def state(self) -> str:
        return ""

    def _in_processes(self, fresh: bool) -> Iterator[Finished | Waited]:
        """Run what waits in worker processes; it no longer waits when it ended. Fewer end if a worker dies."""
        threads = max(1, workspace.cores() // self._workers)
        processes = min(self._workers, len(self._waiting)) if workspace.gpus() else self._workers
        about = caller()
        try:
            with pool(processes, threads) as executor:
                running: dict[Future[RunResult], RunSpec] = {}
                for spec in self._waiting:
                    running[executor.submit(call, *about, _run_one, spec, fresh)] = spec
                patience = PATIENCE[0]
                while running:
                    ended, _ = wait(running, timeout=patience, return_when=FIRST_COMPLETED)
                    patience = PATIENCE[0] if ended else min(2 * patience, PATIENCE[1])
                    if not ended:
                        yield Waited(tuple(running.values())[:processes])
                    for future in ended:
                        spec, result = running.pop(future), future.result()
                        del self._waiting[spec]
                        yield Finished(spec, result)
        except BrokenProcessPool:
            pass


def _run_one(spec: RunSpec, fresh: bool) -> RunResult:
    if fresh:
        store.discard_work(spec.run_id)
    return runs.run(spec)
