"""`run_all.sh`: check everything, execute a profile's notebooks, gather the results, write the report."""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from beft_lib import engines, models, sweep, tasks, workspace
from beft_lib.chapters import registry
from beft_lib.engines import Place
from beft_lib.errors import UserError, unknown
from beft_lib.report import execution, notebooks, outlook, profiles
from beft_lib.report.profiles import Profile
from beft_lib.runs import RunSpec, published, timing

TO_COME = {"status": "to come", "error": None, "seconds": None}


@dataclass(frozen=True)
class Request:
    """What the command line asks for (see `cli`)."""

    profile: str
    only: tuple[str, ...] = ()
    data: str | None = None
    workers: int | None = None
    out: Path | None = None
    published: bool = False
    fresh: bool = False
    dry_run: bool = False
    plan_power: bool = False
    engine: str = "local"
    address: str | None = None


def run(request: Request) -> int:
    """Carry out a request; the exit status: 0 if every notebook and run succeeded, else 1. Raises `UserError` early.

    Nothing is written before every parameter, name, file and download has been checked. What the request says of runs,
    folders and workers holds for this call (see `workspace.using`) and for the kernels of its notebooks.
    """
    profile = profiles.load(request.profile, request.data)
    out = (request.out or _reports() / profile.name).resolve()
    if request.published:
        if request.data is not None:
            raise UserError(f"--data {request.data} with --published: records are read, not data; leave one out")
        index = published.read_index(out / "records")
        profile = profiles.published(profile, index.source, index.models)
    chosen = _choose(profile, request.only)
    if request.published:
        chosen = [cell for cell in chosen if not registry.trains_own_data(cell.notebook)]  # left as it is
    if request.workers is not None and request.engine == "local":
        workspace.check_workers(request.workers, "--workers")
    with workspace.using(_workspace(request, out)):
        where = engines.place(request.engine, request.workers, request.address)  # before anything is planned
        try:
            return _carry_out(request, profile, chosen, out, where)
        finally:
            engines.close()


def _carry_out(request: Request, profile: Profile, chosen: list[profiles.Cell], out: Path, where: Place) -> int:
    """Plan and check, execute the notebooks, gather and tell: the part of `run` that looks into the run store."""
    plans = {cell.name: _plan(profile, cell) for cell in chosen}
    wanted = [spec for plan in plans.values() for spec in plan.specs]
    if not request.published:
        timed = [spec for plan in plans.values() for one in registry.timings(plan) for spec in one.runs]
        _check_data(wanted + timed, offline=request.dry_run)
    elif lost := [one for plan in plans.values() for one in registry.timings(plan) if timing.stored(one) is None]:
        raise UserError(
            f"timing {lost[0].timing_id} is not among the published records; leave --published out to measure it"
        )
    if request.plan_power:
        return _plan_power(profile, plans)
    planned = sweep.plan(wanted)
    if where.engine != "local" and planned.new:
        engines.opened(
            where, planned.new, lambda line: print(line, flush=True)
        )  # a run that fits on no node is an error
    print(
        f"profile {profile.name}, data {profile.source}: {len(chosen)} notebooks, {len(planned.new)} runs to do, "
        f"{planned.cached} already stored; report in {_relative(out)}",
        flush=True,
    )
    if request.dry_run:
        return _foresee(plans, planned)
    if where.engine == "local" and not request.published:  # a cluster's nodes bring theirs themselves
        _fetch(plans)
    if planned.new and where.engine == "local":
        print(f"about {sweep.duration(_expected(planned.new))} of runs", flush=True)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}; give a folder that can be written to") from None

    return _report(request, profile, chosen, plans, out)


def _foresee(plans: dict, planned: sweep.Schedule) -> int:
    """Print each notebook's runs that are still to do, and what they will take."""
    new = dict.fromkeys(planned.new)
    each = {name: [spec for spec in dict.fromkeys(plan.specs) if spec in new] for name, plan in plans.items()}
    for name, specs in each.items():
        print(f"  {name}: {len(specs)} runs to do, {len(dict.fromkeys(plans[name].specs)) - len(specs)} stored")
        for spec in specs:
            print(f"    {spec}")
    for line in outlook.lines(each):
        print(line)
    return 0


def _report(request: Request, profile: Profile, chosen: list[profiles.Cell], plans: dict, out: Path) -> int:
    """Execute the notebooks and write the report, which grows with each of them; the exit status."""
    plans = plans | _other_plans(profile, chosen)
    needs = {cell.name: registry.needs(plans[cell.name]) for cell in profile.cells if cell.name in plans}
    earlier = _earlier(out)
    with notebooks.Executor(workspace.workers() if request.published else 1) as processes:

        def write(outcomes: dict[str, dict]) -> int:
            given = {"profile": profile, "out": out, "needs": needs, "published": request.published}
            return processes.call(_gather, **given, outcomes=earlier | outcomes)

        def grow(outcomes: dict[str, dict]) -> None:
            if waiting := [cell.name for cell in chosen if cell.name not in outcomes]:
                write(outcomes | {name: TO_COME for name in waiting})
            if waiting and len(outcomes) == 1:
                print(f"report, which grows with each chapter: {_relative(out / 'report.html')}", flush=True)

        if request.published:
            longest_first = sorted(chosen, key=lambda cell: -((earlier.get(cell.name) or {}).get("seconds") or 0.0))
            outcomes = execution.rebuild(longest_first, out, processes, workspace.workers())
        else:
            outcomes = execution.execute(chosen, plans, out, processes, grow)
        failed_runs = write(outcomes)
    return _tell_end(outcomes, failed_runs, out)


def _gather(**given) -> int:
    """See `gather.gather`, in the process that this is called in."""
    return _gathering().gather(**given)


def _gathering():
    """The module that gathers, loaded where it is needed: a dry run does without torch and pandas."""
    from beft_lib.report import gather

    return gather


def _tell_end(outcomes: dict[str, dict], failed_runs: int, out: Path) -> int:
    """Say what failed and where the report is; the exit status."""
    failed = {name: outcome["error"] for name, outcome in outcomes.items() if outcome["status"] == "failed"}
    for name, error in failed.items():
        print(f"failed: {name}: {error}", file=sys.stderr)
    if failed_runs:
        print(f"failed: {failed_runs} runs, see results.csv", file=sys.stderr)
    print(f"report: {_relative(out / 'report.html')}")
    return 1 if failed or failed_runs else 0


def _fetch(plans: dict) -> None:
    """The weights of every model that is run or measured, before anything starts."""
    trained = [spec.model for plan in plans.values() for spec in plan.specs]
    probed = [name for plan in plans.values() for name in registry.probed(plan)]
    for name in dict.fromkeys([*trained, *probed]):
        models.fetch(name)


def _plan_power(profile: Profile, plans: dict) -> int:
    """Print what would decide each claim that the stored runs leave undecided, cheapest first."""
    table = _gathering().plan_power({name: registry.needs(plan) for name, plan in plans.items()})
    print(f"profile {profile.name}: what would decide the claims that are undecided, in core-hours at least")
    for row in table.itertuples(index=False):
        print(f"{row[0]:>6}  {row.model}, {row.verdict}: {row[4]}\n        {row.claims}")
    return 0


def _reports() -> Path:
    """`reports/` of the checkout."""
    if (root := workspace.checkout()) is None:
        raise UserError(
            "a report is kept in the source checkout; name another folder with --out, or clone the repository"
        )
    return root / "reports"


def _expected(new: Sequence[RunSpec]) -> float:
    """Seconds that the runs will take, by this machine's speed: from its stored runs, else measured now."""
    from beft_lib.tuning import loop, prepare

    workers, speeds = workspace.workers(), {}
    for name in dict.fromkeys(spec.model for spec in new):
        if (speed := sweep.speed(name)) is None:
            model = models.causal(name) if models.is_decoder(name) else models.classifier(name, 2, seed=0)
            model = prepare.apply_method(model, "all_biases").model
            speed = loop.tokens_per_second(model, threads=max(1, workspace.cores() // workers))
        speeds[name] = speed
    seconds = sweep.estimate(new, workers, speeds)
    assert seconds is not None, "the speed of every model is given"
    return seconds


def _workspace(request: Request, out: Path) -> workspace.Workspace:
    """Where the runs of a request lie, and what may be used for them."""
    return workspace.Workspace(
        runs=out / "records" if request.published else workspace.runs_folder().resolve(),
        published=request.published,
        out=out,
        workers=request.workers or (workspace.workers() if request.engine == "local" else None),
        fresh=time.time() if request.fresh else 0.0,
        started=time.time(),
        engine=request.engine,
        address=request.address,
    )


def _choose(profile: Profile, only: tuple[str, ...]) -> list[profiles.Cell]:
    have = dict.fromkeys(cell.notebook for cell in profile.cells)
    for name in only:
        if name not in notebooks.names():
            raise unknown("notebook", name, notebooks.names())
        if name not in have:
            raise UserError(f"profile {profile.name!r} has no {name}; it has {', '.join(have)}")
    return [cell for cell in profile.cells if not only or cell.notebook in only]


def _plan(profile: Profile, cell: profiles.Cell):
    try:
        return registry.plan(cell.notebook, cell.parameters)
    except UserError as error:
        raise UserError(f"params/{profile.name}.yaml: {cell.notebook}: {error}") from None


def _other_plans(profile: Profile, chosen: list[profiles.Cell]) -> dict:
    """The plans of the notebooks that were not asked for: their stored runs go into the report if they can be found."""
    plans = {}
    for cell in profile.cells:
        if cell not in chosen:
            with suppress(UserError):  # the source need not have their tasks
                plans[cell.name] = _plan(profile, cell)
    return plans


def _check_data(specs: list[RunSpec], offline: bool) -> None:
    """Every data set whole and large enough, before anything runs. A dry run leaves the Hub alone."""
    for task, source in dict.fromkeys((spec.task, spec.source) for spec in specs):
        if offline and source == "hub":
            continue
        available = tasks.sizes(task, source)[tasks.get(task).train]
        for spec in specs:
            if (spec.task, spec.source) == (task, source):
                spec.check_size(available)


def _earlier(out: Path) -> dict[str, dict]:
    """How the notebooks of an earlier call ended, whose executed copies are still there."""
    try:
        known = json.loads((out / "provenance.json").read_text(encoding="utf-8"))["notebooks"]
    except (OSError, ValueError, KeyError):
        return {}
    ended = {name: outcome for name, outcome in known.items() if outcome["status"] != TO_COME["status"]}
    return {name: outcome for name, outcome in ended.items() if (out / "notebooks" / f"{name}.ipynb").is_file()}


def _relative(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
