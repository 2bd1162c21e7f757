"""Which engine a sweep uses: what its caller says, else the workspace."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from beft_lib import workspace
from beft_lib.engines import connection
from beft_lib.engines.cluster import OnRay
from beft_lib.engines.interface import Engine
from beft_lib.engines.local import Local
from beft_lib.errors import UserError, unknown
from beft_lib.runs import RunSpec

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Place:
    """An engine by name; how many runs at a time (None: as many as fit); and where a cluster is."""

    engine: str
    workers: int | None
    address: str | None = None


def place(engine: str | None = None, workers: int | None = None, address: str | None = None) -> Place:
    """Where runs are carried out; what is not given is the workspace's.

    Connects to the cluster, so that an engine that cannot be had is a `UserError` before anything is planned.
    """
    told = workspace.current()
    if engine is None:
        engine, address = told.engine, address or told.address
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if engine == "local":
        if address:
            raise UserError(f"address {address!r} is of a cluster, and engine 'local' is this machine; ask for 'ray'")
        workers = workspace.workers() if workers is None else workers
        workspace.check_workers(workers)
        return Place("local", workers)
    workers = told.workers if workers is None else workers
    if workers is not None and workers < 1:
        raise UserError(f"workers {workers!r}: on a cluster, how many runs at a time at most; give 1 or more")
    if workspace.published():
        raise UserError("published records are read, and nothing is run; leave the engine 'ray' out")
    address = address or "auto"
    connection.connect(address)
    return Place("ray", workers, address)


def opened(where: Place, specs: Sequence[RunSpec], report: Callable[[str], None]) -> Engine:
    """The engine for these runs. Raises `UserError` for a run that no node of the cluster can ever hold."""
    if where.engine == "local":
        assert where.workers is not None, "`place` counts them"
        return Local(where.workers, report)
    assert where.address is not None, "`place` names it"
    return OnRay(where.address, specs, report, limit=where.workers)
