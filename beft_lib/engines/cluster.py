"""Runs on a Ray cluster: each is a task that asks for what it needs, on a node that has it.

Ray places the tasks and tells what died; which run is tried where is decided here. A run that is lost goes to another
node (a label selector leaves out the one that lost it). Results come back as files, or lie in a store that both share.
"""

import platform
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from beft_lib import models, workspace
from beft_lib.engines import connection, needs, nodes, on_node
from beft_lib.engines.interface import Finished, Lost
from beft_lib.engines.mailbox import Mailbox, Post
from beft_lib.engines.needs import Node, Share
from beft_lib.errors import UserError
from beft_lib.runs import Damaged, RunResult, RunSpec, machine, store

THREADS = 1  # of a run: with others, sums are taken in another order
AHEAD = 2  # as many runs are handed to Ray as can go on at a time, times this: the next is there when one ends
LOOK_SECONDS = 10.0  # between looks at the nodes and at the runs' signs of life
HANG_SECONDS = 600.0  # a run that used no processor for so long, or gave no sign of life, hangs


class OnRay:
    """The cluster at an address. Raises `UserError` for a run that cannot be held.

    `limit`: runs at a time at most. `task`: what carries a run out, in place of the engine's own, to measure the rest.
    """

    attempts = 3

    def __init__(
        self,
        address: str,
        specs: Sequence[RunSpec],
        report: Callable[[str], None],
        limit: int | None = None,
        task: Any = None,
    ):
        self._ray = connection.connect(address)
        self._report, self._limit = report, limit
        self._packages = on_node.versions()
        self._nodes = nodes.described(self._ray)
        self._refused: dict[str, str] = {}  # id of a node → what differs there
        for node in self._nodes:
            self._refuse(node.id, node.host, on_node.difference(self._packages, node.packages))
        self._check_left()
        self._needs = nodes.needs_of(specs, THREADS)
        self._shares = needs.check(specs, [node for node in self._nodes if node.id not in self._refused], self._needs)
        head = {"node:__internal_head__": 0.001}  # the node whose loss is the end of all
        self._mailbox = self._ray.remote(num_cpus=0, resources=head)(Mailbox).remote()
        self._task = task or self._ray.remote(max_retries=0)(_on_node)
        self._task_on_gpu = self._ray.remote(max_retries=0, max_calls=1)(_on_node)  # a new process sees its own GPUs
        self._data: dict[tuple[str, str], Any] = {}  # task and source → where its files are in the object store
        self._nothing = self._ray.put({})
        self._waiting: dict[RunSpec, tuple[Lost, ...]] = {}
        self._running: dict[Any, RunSpec] = {}
        self._lost_on: dict[RunSpec, set[str]] = {}
        self._lost = 0
        self._job = f"{secrets.token_hex(4)}-job"
        self._alive = self._seen()
        self._looked = time.monotonic()

    @property
    def width(self) -> int:
        fit = 0
        for node in self._alive:
            share = next(iter(self._shares.values()), Share(THREADS, 0))
            slots = node.cpus // share.cpus
            if share.gpus:
                slots = min(slots, len(node.devices) / share.gpus)
            elif share.memory:
                slots = min(slots, node.memory // share.memory)
            fit += int(slots)
        return max(1, min(fit, self._limit or fit))

    def start(self, specs: Sequence[RunSpec], lost: Sequence[Lost] = ()) -> None:
        self._waiting |= dict.fromkeys(specs, tuple(lost))

    def ended(self) -> Generator[Finished | Lost, None, None]:
        with _Token(workspace.runs_folder()) as token:
            try:
                while self._waiting or self._running:
                    self._fill(token)
                    ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=1.0)
                    if ready:
                        ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
                    for reference in ready:
                        spec = self._running.pop(reference)
                        if (event := self._of(spec, reference)) is not None:
                            yield event
                    yield from self._look()
            finally:
                for reference in self._running:
                    with suppress(Exception):
                        self._ray.cancel(reference, force=True)
                self._running.clear()

    def state(self) -> str:
        going = min(len(self._running), self.width)
        lost = f", {self._lost} lost" if self._lost else ""
        waiting = len(self._running) - going + len(self._waiting)
        there = len(self._alive)
        return f"{there} node{'s' if there != 1 else ''}, {going} running, {waiting} waiting{lost}"

    # -------------------------------------------------------------------------------------------- handing out

    def _fill(self, token: str) -> None:
        """Hand runs to Ray, in order, as far ahead as is of use."""
        ahead = self._limit or max(AHEAD * self.width, 8)
        while self._waiting and len(self._running) < ahead:
            spec = next(iter(self._waiting))
            lost = self._waiting.pop(spec)
            share = self._shares[spec]
            options: dict[str, Any] = {"num_cpus": share.cpus, "num_gpus": share.gpus, "memory": share.memory or None}
            if selector := self._selector(spec, share):
                options["label_selector"] = {nodes.ID: selector}
            packed = on_node.pack(spec)
            reference = (
                (self._task_on_gpu if share.gpus else self._task)
                .options(**options)
                .remote(
                    self._order(spec, lost, token),
                    packed or self._nothing,
                    self._packed_data(spec),
                    self._mailbox,
                    bool(lost),
                )
            )
            self._running[reference] = spec

    def _order(self, spec: RunSpec, lost: Sequence[Lost], token: str) -> on_node.Order:
        return on_node.Order(
            spec,
            THREADS,
            store=str(workspace.runs_folder().absolute()),
            token=token,
            packages=self._packages,
            noted=machine.commit() | ({"lost": [str(one) for one in lost]} if lost else {}),
            fresh=workspace.fresh_since() > 0 and not lost,
            job=self._job,
            layouts=models.registered(),
        )

    def _selector(self, spec: RunSpec, share: Share) -> str:
        """Which nodes Ray may choose among: not those that are refused, nor those that lost the run, if others are
        left. Empty: any."""
        alive = {node.id for node in self._alive if share.nodes is None or node.id in share.nodes}
        avoided = set(self._refused) | self._lost_on.get(spec, set())
        if not alive - avoided:
            avoided = set(self._refused)
        if share.nodes is not None:
            return f"in({','.join(sorted(share.nodes - avoided or share.nodes))})"
        avoided &= {node.id for node in self._alive}
        return f"!in({','.join(sorted(avoided))})" if avoided else ""

    def _packed_data(self, spec: RunSpec) -> Any:
        """The files of a local task in the object store, put there once."""
        key = (spec.task, spec.source)
        if key not in self._data:
            data = on_node.pack_data(spec)
            self._data[key] = self._ray.put(data) if data else self._nothing
        return self._data[key]

    # -------------------------------------------------------------------------------------------- what comes back

    def _of(self, spec: RunSpec, reference: Any) -> Finished | Lost | None:
        """What became of a run; None for one that a node refused and that is tried on another."""
        try:
            files = self._ray.get(reference)
            result = store.accept(spec, files) if files is not None else _in_store(spec)
        except Damaged as reason:
            return self._as_lost(spec, str(reason))
        except OSError as error:  # of the driver's own store: a full disk, a folder that cannot be written
            if isinstance(error, self._ray.exceptions.RayError):
                return self._as_lost(spec, _reason(error))
            raise
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, on_node.Refused):
                return self._try_elsewhere(spec, cause)
            return self._as_lost(spec, _reason(error))
        self._mailbox.forget.remote(spec.run_id, True)
        return Finished(spec, result)

    def _as_lost(self, spec: RunSpec, reason: str) -> Lost:
        self._lost += 1
        node, host = self._where(spec)
        if node:
            self._lost_on.setdefault(spec, set()).add(node)
        self._mailbox.forget.remote(spec.run_id, False)
        return Lost(spec, reason, host)

    def _try_elsewhere(self, spec: RunSpec, cause: Exception) -> None:
        node, host = self._where(spec)
        self._refuse(node, host, str(cause))
        self._check_left()
        self.start([spec])

    def _refuse(self, node: str, host: str, reason: str) -> None:
        if reason and node not in self._refused:
            self._refused[node] = f"{host}: {reason}"
            self._report(f"  node {host} is left out: {reason}")

    def _check_left(self) -> None:
        """Raise `UserError` if every node is refused."""
        if all(node.id in self._refused for node in self._nodes):
            reasons = "; ".join(dict.fromkeys(self._refused.values()))
            raise UserError(
                "no node of the cluster can make these runs, as each would make other numbers than this machine: "
                f"{reasons}. Install the same versions there (requirements.lock)"
            )

    def _where(self, spec: RunSpec) -> tuple[str, str]:
        """The node that a run was last on, and its host; empty if it never began."""
        with suppress(Exception):
            return self._ray.get(self._mailbox.where.remote(spec.run_id), timeout=30)
        return "", ""

    # -------------------------------------------------------------------------------------------- looking around

    def _look(self) -> Iterator[Lost]:
        """Now and then: which nodes there are, and whether a run hangs."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        self._alive = self._seen()
        with suppress(self._ray.exceptions.RayError):
            silent = set(self._ray.get(self._mailbox.silent.remote(HANG_SECONDS), timeout=30))
            for reference, spec in list(self._running.items()):
                if spec.run_id in silent:
                    self._ray.cancel(reference, force=True)
                    del self._running[reference]
                    yield self._as_lost(spec, f"it did nothing for {HANG_SECONDS / 60:.0f} minutes")

    def _seen(self) -> list[Node]:
        """The nodes that are there now and may be used; one that has come since is told from what Ray says of it."""
        known = {node.id: node for node in self._nodes}
        return [
            known.get(node["NodeID"]) or nodes.told_of(node)
            for node in self._ray.nodes()
            if node["Alive"] and node["NodeID"] not in self._refused and node["Resources"].get("CPU")
        ]


class _Token:
    """A file in the driver's store by which a node that sees the store is known; removed at the end."""

    def __init__(self, folder: Path):
        self._file = folder / f".shared-{secrets.token_hex(8)}"

    def __enter__(self) -> str:
        workspace.write_whole(self._file, self._file.name)
        return self._file.name

    def __exit__(self, *_) -> None:
        self._file.unlink(missing_ok=True)


def _on_node(order: on_node.Order, packed: Mapping, data: Mapping, mailbox: Any, again: bool):
    """In a worker of a node."""
    import ray  # pyright: ignore[reportMissingImports]

    run, node = order.spec.run_id, ray.get_runtime_context().get_node_id()
    ray.get(mailbox.began.remote(run, node, platform.node()))
    begun = ray.get(mailbox.checkpoint.remote(run)) if again else None
    order = on_node.noting(order, {"node": f"{platform.node()} {node[:8]}"})
    return on_node.carry_out(order, packed, data, Post(mailbox, run), begun)


def _in_store(spec: RunSpec) -> RunResult:
    """What a node wrote into the store that both share."""
    if (result := store.read(spec)) is None:
        raise Damaged(f"run {spec.run_id} ended, and is not in the store")
    return result


def _reason(error: Exception) -> str:
    """Why a task did not end, in one line."""
    kind = type(error).__name__
    words = {
        "WorkerCrashedError": "its process died, as happens when memory runs out",
        "OutOfMemoryError": "the node's memory ran out",
        "NodeDiedError": "the node died",
        "ObjectStoreFullError": "the node's object store is full",
        "OutOfDiskError": "the node's disk is full",
    }
    if kind in words:
        return words[kind]
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
