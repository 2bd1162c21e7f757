"""Many experiments: what is stored is reused, the rest is carried out by an engine, on this machine or on a cluster."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from beft_lib import engines, tasks, workspace
from beft_lib.engines import Engine, Finished, Lost
from beft_lib.errors import UserError
from beft_lib.runs import SHARES, Damaged, RunResult, RunSpec, machine, store
from beft_lib.tuning import methods


def sweep(specs: Sequence[RunSpec], engine: str | None = None, workers: int | None = None, address: str | None = None):
    """Run what is not stored yet, and return a DataFrame with a row a run and metric (`COLUMNS`), in the given order.

    `engine`: "local", this machine, or "ray", the cluster at `address` ("auto", HOST:PORT or ray://HOST:PORT); left
    out, what the workspace says. `workers`: on this machine processes, each with cores // workers threads; more than
    the cores is refused, because oversubscribed cores are many times slower. On a cluster, runs at a time at most.
    A run that diverges is stored with status "failed" and no value, and stops no other; so is one that ends whatever
    carries it out, which the next command tries again.
    """
    carry_out(specs, engine=engine, workers=workers, address=address)
    from beft_lib.runs import frames  # pandas; planning and counting do without

    return frames.results(specs)


def carry_out(
    specs: Sequence[RunSpec], *, engine: str | None = None, workers: int | None = None, address: str | None = None
) -> None:
    """Run what is not stored yet, as `sweep`, and read nothing back."""
    place = engines.place(engine, workers, address)
    report = workspace.reporter()
    planned = plan(specs)
    for reason in planned.damaged:
        report(f"  {reason}; it is run again")
    if planned.new:
        _carry_out(planned, engines.opened(place, planned.new, report), report)


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
        stale = result is not None and not workspace.published() and result.recorded < _made_anew_before(result)
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


def _made_anew_before(result: RunResult) -> float:
    """The time from which a stored result counts: one of a run that was lost does so for this command only."""
    return max(workspace.fresh_since(), workspace.started() if result.lost else 0.0)


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
    return speeds([model])[model]


def speeds(names: Iterable[str]) -> dict[str, float | None]:
    """As `speed`, of several models at once: the store is read once, and not at all for no model."""
    sums = {name: [0.0, 0.0] for name in names}
    here = machine.processor()
    for result in store.recorded() if sums else ():
        own = sums.get(result.spec["model"])
        if own is not None and result.done and result.environment["processor"] == here:
            own[0] += work(RunSpec.model_construct(**result.spec))
            own[1] += result.cost["seconds"]
    return {name: worked / seconds if seconds else None for name, (worked, seconds) in sums.items()}


def estimate(specs: Sequence[RunSpec], workers: int, known: Mapping[str, float | None] | None = None) -> float | None:
    """Seconds that the runs will take side by side, by each model's speed (default `speed`); None if one is unknown."""
    each = speeds({spec.model for spec in specs}) if known is None else known
    seconds = 0.0
    for spec in specs:
        if (known_speed := each[spec.model]) is None:
            return None
        seconds += work(spec) / known_speed
    return seconds / max(1, min(workers, len(specs)))


# ------------------------------------------------------------------------------------------------- carrying out


def _carry_out(planned: Schedule, engine: Engine, report: Callable[[str], None]) -> None:
    store.sweep_leftovers()
    progress = _Progress(planned, engine, report)
    for wave in (False, True):  # merged runs are made from others, which come first
        _carry_out_wave([spec for spec in planned.new if (spec.parts is not None) == wave], engine, progress)


def _carry_out_wave(specs: Sequence[RunSpec], engine: Engine, progress: "_Progress") -> None:
    """Have the engine run the specs; one that is lost is tried again, and failed when that was often enough."""
    lost: dict[RunSpec, list[Lost]] = {}
    engine.start(specs)
    with closing(engine.ended()) as events:
        for event in events:
            if isinstance(event, Finished):
                progress.ended(event.spec, event.result)
                continue
            tries = lost.setdefault(event.spec, [])
            tries.append(event)
            if len(tries) < engine.attempts:
                progress.lost(event)
                engine.start([event.spec], tries)
            else:
                progress.ended(event.spec, _given_up(event.spec, tries))


def _given_up(spec: RunSpec, lost: Sequence[Lost]) -> RunResult:
    """Store a run as failed that nothing could carry out."""
    reasons = list(map(str, lost))
    reason = reasons[-1] if len(lost) == 1 else f"lost {len(lost)} times; {'; '.join(dict.fromkeys(reasons))}"
    environment = machine.describe() | {"lost": reasons}
    result = RunResult(
        run_id=spec.run_id,
        spec=spec.portable,
        status="failed",
        reason=reason,
        data={},
        cost={},
        environment=environment,
        recorded=time.time(),
    )
    store.write(result, {})
    return result


# ----------------------------------------------------------------------------------------------------- reporting


class _Progress:
    """One line a run, with an estimate of the time left from the speed of the runs so far."""

    def __init__(self, planned: Schedule, engine: Engine, report: Callable[[str], None]):
        self.works = {spec: work(spec) for spec in planned.new}
        self.left = sum(self.works.values())  # work
        expected = estimate(planned.new, engine.width)
        self.total, self.engine, self.report = len(planned.new), engine, report
        self.seconds = self.worked = 0.0
        report(
            f"  {self.total} runs to do, {planned.cached} already stored, {min(engine.width, self.total)} at a time"
            + (f", about {duration(expected)}" if expected is not None else "")
        )

    def ended(self, spec: RunSpec, result: RunResult) -> None:
        worked = self.works.pop(spec)
        self.left -= worked
        place = f"  [{self.total - len(self.works)}/{self.total}] {spec}"
        if not result.done:
            self.report(f"{place}: FAILED, {result.reason}")
            return
        self.seconds += result.cost["seconds"]
        self.worked += worked
        value = result.metrics[0]
        line = f"{place}: {value.metric} {value.value:.3f}, {result.cost['seconds']:.0f} s"
        if self.works:
            left = self.seconds / self.worked * self.left / max(1, min(self.engine.width, len(self.works)))
            line += f"; about {duration(left)} left"
        state = self.engine.state()
        self.report(f"{line}; {state}" if state else line)

    def lost(self, event: Lost) -> None:
        where = f" on {event.where}" if event.where else ""
        self.report(f"  {event.spec}: lost{where}, {event.reason}; it is tried again")


def duration(seconds: float) -> str:
    """A time for readers: seconds, or minutes rounded up."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{math.ceil(seconds / 60)} min"
