"""One run on a node of a cluster: check the node, bring what it lacks, run, hand the result's files back.

Nothing here knows Ray: what goes to the driver meanwhile goes through a `Post`.
"""

import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from beft_lib import models, runs, tasks, workspace
from beft_lib.engines.needs import Device, Node
from beft_lib.runs import RunSpec, machine, store
from beft_lib.tasks.catalogue import own_folder

# The packages whose version can change a number.
DECISIVE = (*machine.PACKAGES, "peft", "tokenizers", "safetensors", "gguf", "pandas", "pyarrow")
OLD_SECONDS = 86_400.0  # what a job left on a node is removed by a later one after a day
BEAT_SECONDS = 10.0
CHECKPOINT_SECONDS = 120.0  # between checkpoints that travel, where there is no shared file system


class Refused(Exception):
    """This node cannot make the run: its packages, data or weights are others. The message names the difference."""


@dataclass(frozen=True)
class Order:
    """A run, and what the driver tells of it: where its store lies and by which file a node that shares it is known,
    versions that must be the same, what the result is to note of its origin, and the architectures' layouts that were
    registered."""

    spec: RunSpec
    threads: int
    store: str
    token: str
    packages: Mapping[str, str]
    noted: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False
    job: str = ""
    layouts: Mapping[str, models.Architecture] = field(default_factory=dict)


def noting(order: Order, noted: Mapping[str, Any]) -> Order:
    """The order with more for its result to note."""
    return replace(order, noted={**order.noted, **noted})


class Post(Protocol):
    """What goes to the driver while a run goes on."""

    def beat(self, cpu_seconds: float) -> None: ...

    def checkpoint(self, content: bytes) -> None: ...


def versions() -> dict[str, str]:
    """The versions here of Python and of the packages that decide numbers; of a build such as 2.13.0+cpu without it."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in DECISIVE:
        with suppress(PackageNotFoundError):
            found[name] = version(name).split("+")[0]
    return found


def difference(needed: Mapping[str, str], here: Mapping[str, str]) -> str:
    """In which packages a node differs, in words; empty where numbers are the same."""
    other = [f"{name} is {here.get(name, 'missing')} ({wanted} is needed)" for name, wanted in needed.items()]
    return ", ".join(text for text, (name, wanted) in zip(other, needed.items()) if here.get(name) != wanted)


def describe(id: str, cpus: float, memory: int, gpus: int) -> Node:
    """This node; its GPUs are asked only where the cluster says that it has some."""
    devices: tuple[Device, ...] = ()
    if gpus:
        import torch

        found = [torch.cuda.get_device_properties(place) for place in range(torch.cuda.device_count())]
        devices = tuple(Device(one.name, one.total_memory) for one in found)
    return Node(id, platform.node(), cpus, memory, devices, machine.processor(), versions())


def carry_out(
    order: Order, packed: Mapping[str, bytes], data: Mapping[str, bytes], post: Post, begun: bytes | None
) -> dict[str, bytes] | None:
    """Make the run here; its files, or None where the driver finds them in the store that both share.

    `packed` and `data`: what a node that does not share the store needs of it and of a local folder (see `pack` and
    `pack_data`). `begun`: a checkpoint to go on from. Raises `Refused`, and whatever a run can raise.
    """
    if lacks := difference(order.packages, versions()):
        raise Refused(lacks)
    shared = _shares(order)
    with ExitStack() as kept:
        folder = Path(order.store) if shared else kept.enter_context(_scratch(order, packed))
        kept.enter_context(workspace.using(workspace.Workspace(runs=folder)))
        spec = _here(order, folder, data)
        models.take_over(dict(order.layouts))
        _check_identity(spec)
        watched = store.work_folder(spec.run_id) / "checkpoint.safetensors"
        waits = kept.enter_context(_posting(post, None if shared else watched))
        _bring_model(spec.model)
        waits.clear()
        import torch

        torch.set_num_threads(order.threads)
        if order.fresh:
            store.discard_work(spec.run_id)
        if begun is not None and not shared:
            workspace.write_whole(watched, begun)
        runs.run(spec, order.noted)
        if shared:
            return None
        return {file.name: file.read_bytes() for file in sorted(store.folder(spec.run_id).iterdir())}


def pack(spec: RunSpec) -> dict[str, bytes]:
    """On the driver: what a node without its store needs of the run store, by path: the parts of a merged run, and a
    task made of data of one's own."""
    found = {}
    for run in dict.fromkeys([*(run for run, _ in spec.parts or ()), *(spec.head_of or ())]):
        found |= _files(store.folder(run), run)
    if (own := own_folder() / spec.task).is_dir():
        found |= _files(own, f"own/{spec.task}")
    return found


def pack_data(spec: RunSpec) -> dict[str, bytes]:
    """On the driver: the files of a task from `local:DIR`, by path under DIR; {} for every other source."""
    kind, folder = tasks.parse_source(spec.source)
    if kind != "local" or folder is None or _in_store(folder):
        return {}
    task = tasks.get(spec.task)
    name = task.folder or task.name
    return _files(folder / name, name)


def _in_store(folder: Path) -> bool:
    return folder.absolute().is_relative_to(workspace.runs_folder().absolute())


def _files(folder: Path, name: str) -> dict[str, bytes]:
    return {f"{name}/{file.name}": file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def _shares(order: Order) -> bool:
    """Whether this node sees the driver's store: a file that the driver has put there tells, not a setting."""
    try:
        return (Path(order.store) / order.token).read_text(encoding="utf-8") == order.token
    except OSError:
        return False


def _base(order: Order) -> Path:
    """Where a job keeps files on this node."""
    return Path(tempfile.gettempdir()) / f"beft-{order.job}"


@contextmanager
def _scratch(order: Order, packed: Mapping[str, bytes]):
    """A store of this run alone; what a run that was killed here left is removed, and what old jobs left."""
    base = _base(order)
    folder = base / f"{order.spec.run_id}-{os.getpid()}"
    for left in base.glob(f"{order.spec.run_id}-*"):
        shutil.rmtree(left, ignore_errors=True)
    for old in base.parent.glob("beft-*-job"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > OLD_SECONDS:
                shutil.rmtree(old)
    try:
        for path, content in packed.items():
            workspace.write_whole(folder / path, content)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # others are at work here
            base.rmdir()


def _here(order: Order, folder: Path, data: Mapping[str, bytes]) -> RunSpec:
    """The spec with its data where they are on this node, by the same id. Data that came along are unpacked once."""
    spec = order.spec
    kind, given = tasks.parse_source(spec.source)
    if kind != "local" or given is None or given.is_dir():
        return spec
    if (folder / "own" / spec.task).is_dir():
        return spec.model_copy(update={"source": f"local:{folder / 'own'}"})
    root = _base(order) / f"data-{spec.data.rpartition(':')[2].split()[0][:16]}"
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / "unpacked.lock"):
        for path, content in data.items():
            if not (root / path).is_file():
                workspace.write_whole(root / path, content)
    return spec.model_copy(update={"source": f"local:{root}"})


def _check_identity(spec: RunSpec) -> None:
    """Raise `Refused` unless data and weights here are those that the spec names."""
    found = {
        "data": (tasks.version(spec.task, spec.source), spec.data),
        "weights": (models.version(spec.model), spec.weights),
    }
    for what, (here, wanted) in found.items():
        if here != wanted:
            raise Refused(f"its {what} are {here} ({wanted} are needed)")


def _bring_model(name: str) -> None:
    """The model's weights, fetched by one process of the node while the others wait."""
    locks = models.cache_folder() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{name.replace('/', '--').replace(':', '-')}.fetch.lock"):
        models.fetch(name)


@contextmanager
def _posting(post: Post, checkpoint: Path | None):
    """Tell the driver now and then that the run goes on, and send its checkpoints if it cannot see them.

    → an event that is set while the run waits, for its model: time then counts as if it were the processor's.
    """
    ended, waits = threading.Event(), threading.Event()
    waits.set()

    def tell() -> None:
        sent, due, waited = 0.0, time.monotonic() + CHECKPOINT_SECONDS, 0.0
        while not ended.wait(BEAT_SECONDS):
            waited += BEAT_SECONDS if waits.is_set() else 0.0
            with suppress(Exception):  # the driver may be gone, which ends this process soon
                post.beat(time.process_time() + waited)
                if checkpoint is not None and time.monotonic() > due:
                    if checkpoint.is_file() and (written := checkpoint.stat().st_mtime) > sent:
                        post.checkpoint(checkpoint.read_bytes())
                        sent, due = written, time.monotonic() + CHECKPOINT_SECONDS

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield waits
    finally:
        ended.set()
        thread.join(5)
