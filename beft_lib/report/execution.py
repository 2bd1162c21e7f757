"""A profile's chapters, one after the other: their runs on this process's workers, their notebooks behind them.

While a notebook draws what its runs say, the next chapter's runs are made already. Alone on the machine are what
measures time, and a notebook that trains what nobody knows before it is executed. The report grows with each chapter.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

from beft_lib import sweep, workspace
from beft_lib.chapters import registry
from beft_lib.report.notebooks import Executor
from beft_lib.report.profiles import Cell
from beft_lib.runs import timing

Ended = Callable[[dict[str, dict]], None]  # told how each chapter ended that did


def execute(cells: Sequence[Cell], plans: Mapping, out: Path, processes: Executor, ended: Ended) -> dict[str, dict]:
    """Make the chapters' runs and execute their notebooks; how each ended: status, error and seconds.

    `ended` is called after each notebook. A chapter whose runs cannot be made is executed all the same: its notebook
    fails, and shows what there is.
    """
    outcomes: dict[str, dict] = {}
    with ThreadPoolExecutor(1) as behind:  # one notebook at a time
        begun: Future | None = None

        def wait() -> None:
            if begun is not None:
                begun.result()

        for cell in cells:
            print(f"{cell.name} ...", flush=True)
            started = time.monotonic()
            if registry.trains_own_data(cell.notebook):
                wait()
            else:
                _make_runs(plans[cell.name], wait)
            seconds = time.monotonic() - started
            wait()
            begun = behind.submit(copy_context().run, _notebook, cell, out, processes, seconds, outcomes, ended)
            if registry.trains_own_data(cell.notebook):
                wait()
        wait()
    return outcomes


def rebuild(cells: Sequence[Cell], out: Path, processes: Executor, count: int) -> dict[str, dict]:
    """Execute notebooks whose runs are all there, `count` at a time; how each ended."""
    outcomes: dict[str, dict] = {}
    with ThreadPoolExecutor(count) as beside:
        each = [
            beside.submit(copy_context().run, _notebook, cell, out, processes, 0.0, outcomes, lambda *_: None)
            for cell in cells
        ]
        for one in each:
            one.result()
    return {cell.name: outcomes[cell.name] for cell in cells}


def _make_runs(plan, alone: Callable[[], None]) -> None:
    """The plan's runs, and then its timings, before which `alone` waits for whatever else is at work."""
    try:
        sweep.carry_out(plan.specs)
        if missing := [one for one in registry.timings(plan) if timing.stored(one) is None]:
            alone()
            for one in missing:
                timing.measure(one)
    except Exception as error:  # of a library, or a dead worker: the notebook meets it again, and its report shows it
        workspace.reporter()(f"  {type(error).__name__}: {error}")


def _notebook(cell: Cell, out: Path, processes: Executor, before: float, outcomes: dict, ended: Ended) -> None:
    """Execute one notebook into the report's folder, tell how it went, and note how it ended.

    `before`: seconds that its runs took.
    """
    copy = out / "notebooks" / f"{cell.name}.ipynb"
    outcome = processes.execute(cell.notebook, copy, cell.parameters, lambda line: print(line, flush=True))
    seconds = before + outcome.seconds
    print(f"{cell.name}: {f'FAILED, {outcome.error}' if outcome.error else 'done'}, {seconds:.0f} s", flush=True)
    status = "failed" if outcome.error else "done"
    outcomes[cell.name] = {"status": status, "error": outcome.error, "seconds": round(seconds, 1)}
    ended(dict(outcomes))
