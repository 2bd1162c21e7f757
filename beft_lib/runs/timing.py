"""What methods cost: time, memory and size on disk, each method in a process of its own, one after the other in turns.

Seconds of two runs at different times say little on a machine with other work to do. Here the methods take turns
(a, b, c, a, b, c, ...), so that what slows one turn slows all of them; the median over the turns is reported, and
ratios are taken within a turn. Nothing else of this project runs meanwhile. A timing is stored like a run and never
repeated.
"""

import hashlib
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from beft_lib import models, tasks, workspace
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec, archive, machine, records, store, workers
from beft_lib.runs.published import read_index

FILE = "timing.json"
VERSION = 2  # raise it when turns are measured in another way


@dataclass(frozen=True)
class TimingSpec:
    """The runs to time (what they achieve is of no interest), and how many turns each has."""

    runs: tuple[RunSpec, ...]
    repeats: int

    @property
    def order(self) -> list[tuple[RunSpec, int]]:
        """Every turn: the run and the number of its turn. Each round begins with another method."""
        rounds = [(self.runs[i % len(self.runs) :] + self.runs[: i % len(self.runs)], i) for i in range(self.repeats)]
        return [(run, repeat) for runs, repeat in rounds for run in runs]

    @property
    def timing_id(self) -> str:
        """Names the timing: a hash of its runs and turns."""
        named = {"version": VERSION, "timing": [spec.run_id for spec in self.runs], "repeats": self.repeats}
        return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:16]


class Turn(BaseModel):
    """One method's turn."""

    method: str
    repeat: int
    seconds: float  # from loading the model and the data to the tuned parameters' bytes
    loop_seconds: float  # in the training loop
    samples: int
    memory_mb: float | None  # peak resident size above that before the model was loaded; on a GPU what torch allocated
    trainable: int  # the head's scalars included
    parameters: int
    saved_bytes: int  # of what was tuned, the head included, as safetensors in fp32


class Timing(BaseModel):
    """What came out of a timing."""

    model_config = ConfigDict(extra="forbid")

    timing_id: str
    runs: list[dict[str, Any]]  # the specs
    turns: list[Turn]
    environment: dict[str, Any]
    recorded: float

    @property
    def model(self) -> str:
        return self.runs[0]["model"]

    @property
    def task(self) -> str:
        return self.runs[0]["task"]

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(turn.method for turn in self.turns))

    def of(self, method: str) -> list[Turn]:
        """The method's turns, in order."""
        return [turn for turn in self.turns if turn.method == method]

    def median(self, method: str, what: Callable[[Turn], float]) -> float:
        """The median over the method's turns."""
        return statistics.median(map(what, self.of(method)))


def stored(spec: TimingSpec) -> Timing | None:
    """The stored timing; None if there is none, or it is not complete, cannot be read or is to be made again."""
    published = workspace.published()
    timing = _recorded(workspace.runs_folder(), spec.timing_id) if published else _begun(spec)
    if timing is None or len(timing.turns) < len(spec.order):
        return None
    return timing if published or timing.recorded >= workspace.fresh_since() else None


def _begun(spec: TimingSpec) -> Timing | None:
    """The timing in the run store, complete or not."""
    try:
        return _parsed((store.folder(spec.timing_id) / FILE).read_bytes(), spec.timing_id)
    except OSError:
        return None


def _recorded(folder: Path, timing_id: str) -> Timing | None:
    """The timing in a records folder."""
    return _parsed(archive.read_lines(folder / archive.TIMINGS).found.get(timing_id, b""), timing_id)


def _parsed(content: bytes, timing_id: str) -> Timing | None:
    """The timing that this is; None if it is none, not whole, or another one."""
    try:
        timing = Timing.model_validate_json(content)
    except ValidationError:
        return None
    return timing if timing.timing_id == timing_id and timing.turns else None


def keep(timing: Timing, folder: Path) -> bool:
    """Copy a stored timing into a records folder of this machine that lacks it; whether it is there now.

    One that is there, and complete, is not replaced; a file in which a line cannot be read is left alone.
    """
    try:
        index = read_index(folder)
    except UserError:
        return False
    if _recorded(folder, timing.timing_id) is None and index.machine_of(timing.model) == records.made_on(
        timing.environment
    ):
        with workspace.locked(folder):
            lines = archive.read_lines(folder / archive.TIMINGS)
            if not lines.damage and _recorded(folder, timing.timing_id) is None:
                added = {timing.timing_id: timing.model_dump_json().encode()}
                archive.write_lines(lines.file, {**lines.found, **added})
    return _recorded(folder, timing.timing_id) is not None


def measure(spec: TimingSpec) -> Timing:
    """The timing of a spec, measured now unless it is stored.

    Each turn is a new process that uses all cores; importing libraries is not counted. A turn is stored as it ends, so
    that a measurement that was stopped goes on. Raises `UserError` if published
    records stand in for the store and lack it.
    """
    if (timing := stored(spec)) is not None:
        return timing
    if workspace.published():
        raise UserError(f"timing {spec.timing_id} is not among the published records; leave --published out to measure")
    workers.close()  # those of a sweep: nothing of ours runs beside a turn, nor holds memory
    context = workers.context()
    begun = _begun(spec)
    here = machine.describe() | {"threads": workspace.cores()}
    turns = []
    if begun is not None and begun.recorded >= workspace.fresh_since():
        turns = begun.turns if records.made_on(begun.environment) == records.made_on(here) else []
    report, total = workspace.reporter(), len(spec.order)
    for place in range(len(turns), total):
        run, repeat = spec.order[place]
        if not any(turn.repeat == repeat for turn in turns):
            report(f"  timing {len(spec.runs)} methods, turn {repeat + 1} of {spec.repeats}")
        if place == 0:
            _in_process(context, run, repeat)  # fills caches, and is not counted
        turns = [*turns, _in_process(context, run, repeat)]
        timing = Timing(
            timing_id=spec.timing_id,
            runs=[run.portable for run in spec.runs],
            turns=turns,
            environment=here,
            recorded=time.time(),
        )
        store.put(spec.timing_id, {FILE: timing.model_dump_json(indent=1).encode()})
    assert timing is not None, "a measurement with all of its turns is stored"
    return timing


def _in_process(context: BaseContext, run: RunSpec, repeat: int) -> Turn:
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_turn, run, repeat).result()


def _turn(spec: RunSpec, repeat: int) -> Turn:
    """Load, tune and serialise once, in this process."""
    import torch
    from safetensors.torch import save

    from beft_lib.runs import execute
    from beft_lib.tuning import loop, prepare

    torch.set_num_threads(workspace.cores())
    tasks.load(spec.task, tasks.get(spec.task).train, spec.source)  # before the clock starts, as are the weights
    models.fetch(spec.model)
    measurable = machine.reset_peak()
    before = machine.peak_mb() if measurable else 0.0
    started = time.perf_counter()
    form, _ = execute.prepare(spec)
    parameters = sum(p.numel() for p in form.model.parameters())
    prepared = prepare.apply_method(form.model, spec.method, spec.seed, spec.head)
    recipe = execute.recipe_of(spec)
    trace = loop.tune(prepared.model, form.data, recipe, scalars=prepared.scalars, loss=form.loss)
    memory_mb = machine.peak_mb() - before if measurable else None
    saved = len(save(prepare.tuned_tensors(prepared)))
    return Turn(
        method=spec.method,
        repeat=repeat,
        seconds=time.perf_counter() - started,
        loop_seconds=trace.seconds,
        samples=spec.epochs * spec.n_train,
        memory_mb=memory_mb,
        trainable=prepare.trainable(prepared),
        parameters=parameters,
        saved_bytes=saved,
    )
