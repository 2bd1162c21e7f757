"""Many experiments: what is stored is reused, the rest runs on this machine, single-threaded workers side by side."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from beft_lib import tasks, workspace
from beft_lib.errors import UserError, unknown
from beft_lib.runs import SHARES, Damaged, RunResult, RunSpec, machine, store
from beft_lib.runs.workers import call, caller, pool
from beft_lib.tuning import methods

ENGINES = ("local",)


def sweep(specs: Sequence[RunSpec], engine: str = "local", workers: int | None = None):
    """Run what is not stored yet, and return a DataFrame with a row a run and metric (`COLUMNS`), in the given order.

    `workers`: processes, each with cores // workers threads; more than the cores is refused, because oversubscribed
    cores are many times slower. A run that diverges is stored with status "failed" and no value, and stops no other.
    """
    carry_out(specs, engine=engine, workers=workers)
    from beft_lib.runs import frames  # pandas; planning and counting do without

    return frames.results(specs)


def carry_out(specs: Sequence[RunSpec], *, engine: str = "local", workers: int | None = None) -> None:
    """Run what is not stored yet, as `sweep`, and read nothing back."""
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    workers = workspace.workers() if workers is None else workers
    workspace.check_workers(workers)
    report = workspace.reporter()
    planned = plan(specs)
    for reason in planned.damaged:
        report(f"  {reason}; it is run again")
    if planned.new:
        _carry_out(planned, workers, report)


@dataclass(frozen=True)
class Schedule:
    """What a sweep will do: new specs (short ones first, merged ones last), how many are stored, why some run again."""

    new: tuple[RunSpec, ...]
    cached: int
    damaged: tuple[str, ...]


def plan(specs: Sequence[RunSpec]) -> Schedule:
    """Look into the store, change nothing. Raises `UserError` if the store is published records that lack a run."""
    new, cached, damaged = [], 0, []
    merged = [spec for spec in specs if spec.parts is not None]
    needed = {run: {"delta.safetensors"} for spec in merged for run, _ in spec.parts or ()}
    for run in (run for spec in merged for run in spec.head_of or ()):
        needed.setdefault(run, set()).add("head.safetensors")
    for spec in dict.fromkeys(specs):
        try:
            result = store.read(spec)
            if result is not None and spec.run_id in needed and not workspace.published():
                store.check_holds(result, needed[spec.run_id])
        except Damaged as reason:
            damaged.append(str(reason))
            result = None
        stale = result is not None and not workspace.published() and result.recorded < workspace.fresh_since()
        if result is None or stale:
            new.append(spec)
        else:
            cached += 1
    if new and workspace.published():
        raise UserError(
            f"{len(new)} of {len(new) + cached} runs are not among the published records in "
            f"{workspace.runs_folder()}, first {new[0]}; leave --published out to run them"
            + (f". {damaged[0]}" if damaged else "")
        )
    return Schedule(tuple(sorted(new, key=lambda spec: (spec.parts is not None, work(spec)))), cached, tuple(damaged))


FISHER, EVALUATION = 1.0, 0.5  # a ranking run's pass over its training examples for Fisher; a forward pass


def work(spec: RunSpec) -> float:
    """How much there is to compute, in tokens of bias tuning: what a run's time is estimated from."""
    passes = spec.epochs * (spec.steps or spec.total_steps) / spec.total_steps
    fishers = (1 + len(SHARES) if spec.fisher_along else 1) if spec.ranking else 0
    trained = spec.n_train * (passes * methods.get(spec.method).cost + FISHER * fishers)
    task = tasks.get(spec.task)
    evaluated = min(spec.n_eval or task.evaluated, task.evaluated) * (spec.epochs + 1 if spec.each_epoch else 1)
    if spec.demonstrations == "fresh":  # a fixed set is computed once
        evaluated *= 1 + (spec.shots or 0)
    return task.length * (trained + EVALUATION * evaluated)


def speed(model: str) -> float | None:
    """Tokens of `work` that one worker does a second, from the stored runs of the model on this machine; None: none."""
    worked = seconds = 0.0
    here = machine.processor()
    for result in store.recorded():
        if result.spec["model"] == model and result.done and result.environment["processor"] == here:
            worked += work(RunSpec.model_construct(**result.spec))
            seconds += result.cost["seconds"]
    return worked / seconds if seconds else None


def estimate(specs: Sequence[RunSpec], workers: int, speeds: Mapping[str, float | None] | None = None) -> float | None:
    """Seconds that the runs will take side by side, by each model's speed (default `speed`); None if one is unknown."""
    if speeds is None:
        speeds = {model: speed(model) for model in {spec.model for spec in specs}}
    seconds = 0.0
    for spec in specs:
        if (known := speeds[spec.model]) is None:
            return None
        seconds += work(spec) / known
    return seconds / max(1, min(workers, len(specs)))


# ------------------------------------------------------------------------------------------------- carrying out


def _carry_out(planned: Schedule, workers: int, report: Callable[[str], None]) -> None:
    store.sweep_leftovers()
    progress = _Progress(planned, workers, report)
    for wave in (False, True):  # merged runs are made from others, which come first
        _carry_out_wave([spec for spec in planned.new if (spec.parts is not None) == wave], workers, progress, report)


def _carry_out_wave(specs: Sequence[RunSpec], workers: int, progress: "_Progress", report) -> None:
    waiting = list(specs)
    fresh = workspace.fresh_since() > 0
    while waiting:
        done = in_processes(waiting, workers, fresh, progress)
        waiting = [spec for spec in waiting if spec not in done]
        if waiting and workers > 1:
            report("  a worker process died (out of memory?); the rest goes on with one worker at a time")
            workers, fresh = 1, False
        elif waiting:  # the only worker died: it had the first of the specs that are left
            spec = waiting.pop(0)
            raise RuntimeError(
                f"the process of run {spec.run_id} ({spec}) died without an error, as happens when memory "
                "runs out; start again to resume, with a smaller batch or model if it dies again"
            )


def in_processes(specs: Sequence[RunSpec], workers: int, fresh: bool, progress: "_Progress") -> set[RunSpec]:
    """Run the specs in worker processes; returns those that ended, which is fewer if a worker died."""
    threads = max(1, workspace.cores() // workers)
    done: set[RunSpec] = set()
    about = caller()
    try:
        with pool(min(workers, len(specs)) if workspace.gpus() else workers, threads) as executor:
            running = {executor.submit(call, *about, _run_one, spec, fresh): spec for spec in specs}
            while running:
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    spec = running.pop(future)
                    result = future.result()
                    done.add(spec)
                    progress.ended(spec, result)
    except BrokenProcessPool:
        pass
    return done


def _run_one(spec: RunSpec, fresh: bool) -> RunResult:
    from beft_lib.runs import execute

    if fresh:
        store.discard_work(spec.run_id)
    return execute.run(spec)


# ----------------------------------------------------------------------------------------------------- reporting


class _Progress:
    """One line a run, with an estimate of the time left from the speed of the runs so far."""

    def __init__(self, planned: Schedule, workers: int, report: Callable[[str], None]):
        self.left = {spec: work(spec) for spec in planned.new}
        expected = estimate(planned.new, workers)
        self.total, self.workers, self.report = len(planned.new), workers, report
        self.seconds = self.worked = 0.0
        report(
            f"  {self.total} runs to do, {planned.cached} already stored, {min(workers, self.total)} at a time"
            + (f", about {duration(expected)}" if expected is not None else "")
        )

    def ended(self, spec: RunSpec, result: RunResult) -> None:
        worked = self.left.pop(spec)
        number = self.total - len(self.left)
        if not result.done:
            self.report(f"  [{number}/{self.total}] {spec}: FAILED, {result.reason}")
            return
        self.seconds += result.cost["seconds"]
        self.worked += worked
        value = result.metrics[0]
        line = f"  [{number}/{self.total}] {spec}: {value.metric} {value.value:.3f}, {result.cost['seconds']:.0f} s"
        if self.left:
            left = self.seconds / self.worked * sum(self.left.values()) / min(self.workers, len(self.left))
            line += f"; about {duration(left)} left"
        self.report(line)


def duration(seconds: float) -> str:
    """A time for readers: seconds, or minutes rounded up."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{math.ceil(seconds / 60)} min"
