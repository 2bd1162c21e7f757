"""What a run needs of a node, and which share of which nodes it gets: decided on descriptions, without a cluster."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from beft_lib import models, tasks
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec
from beft_lib.tuning import methods

GB = 10**9
LIBRARIES = 0.6 * GB  # of memory, of a process that has imported them
ACTIVATIONS = 34  # scalars kept for the backward pass, a token, layer and unit of width
MARGIN = 1.5  # estimates of memory are taken that much larger; what was measured, `MEASURED` times
MEASURED = 1.2
USABLE = 0.9  # of a device's memory: the rest is the driver's and torch's own
SHARES = 4  # runs on one device at most: more only wait for each other
KNOWN_LENGTH = 2  # batches are padded to about twice a task's usual length


@dataclass(frozen=True)
class Device:
    """A GPU: its name and its memory, in bytes."""

    name: str
    memory: int


@dataclass(frozen=True)
class Node:
    """A node as it describes itself; `memory` in bytes, `packages` as versions by name."""

    id: str
    host: str
    cpus: float
    memory: int
    devices: tuple[Device, ...] = ()
    processor: str = ""
    packages: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Need:
    """What a run takes: processors, memory, and on a GPU memory of devices, with its whole batch at a time and with one
    example at a time, to which it falls back by itself. In bytes."""

    cpus: int
    memory: int
    device_whole: int
    device_least: int


@dataclass(frozen=True)
class Share:
    """What a run asks of a node, and on which nodes (their ids; None: on any)."""

    cpus: int
    memory: int
    gpus: float = 0.0
    nodes: frozenset[str] | None = None


def need(spec: RunSpec, threads: int = 1, peak_mb: float | None = None) -> Need:
    """What a run needs, by the model's size, its precision and what trains.

    `peak_mb`: the largest peak of memory of stored runs of this model, where there are some, in place of the estimate
    of a process's memory. Of a model whose size is not known before it is fetched, only the processors are.
    """
    if (size := models.size(spec.model)) is None:
        return Need(threads, int(peak_mb * 2**20 * MEASURED) if peak_mb else 0, 0, 0)
    method, task = methods.get(spec.method), tasks.get(spec.task)
    every = spec.method in ("full", "random")  # gradients of every weight; full tuning has two moments of each besides
    states = size.parameters * 4 * ((3 if spec.method == "full" else 1) if every else 0)
    kept = 2 if spec.precision == "bf16" else 4
    weights = size.parameters * (4 if every else kept)
    length = min(spec.max_length, KNOWN_LENGTH * task.length * (1 + (spec.shots or 0)))
    layers = 2 if method.untuned else size.layers  # without a backward pass a layer's are gone with the next
    example = length * layers * size.width * ACTIVATIONS * kept
    batch = example * (spec.micro_batch or spec.batch_size)
    memory = (LIBRARIES + size.parameters * 4 + states + batch) * MARGIN
    if peak_mb:
        memory = peak_mb * 2**20 * MEASURED
    return Need(
        cpus=threads,
        memory=int(memory),
        device_whole=int((weights + states + batch) * MARGIN),
        device_least=int((weights + states + example) * MARGIN),
    )


def share(need: Need, nodes: Sequence[Node]) -> Share | None:
    """What the run asks for on these nodes; None if none of them can ever hold it.

    On nodes with GPUs a run gets one, or a part of one where several such runs fit; the smallest kind of device that
    holds it with its whole batch; else the largest that holds it at all; else several of one node, over which the model
    is spread. Nodes without any are asked only if no node has one.
    """
    able = [node for node in nodes if node.cpus >= need.cpus]
    equipped = [node for node in able if node.devices]
    if not equipped:
        able = [node for node in able if node.memory >= need.memory]
        return Share(need.cpus, need.memory, nodes=_named(able, nodes)) if able else None
    kinds = sorted({min(device.memory for device in node.devices) for node in equipped})
    for wanted, order, most in ((need.device_whole, kinds, SHARES), (need.device_least, kinds[::-1], 1)):
        for memory in order:
            if wanted <= USABLE * memory:
                fitting = [node for node in equipped if min(d.memory for d in node.devices) >= memory]
                together = min(most, int(USABLE * memory // wanted)) if wanted else 1
                return Share(need.cpus, 0, math.floor(10_000 / together) / 10_000, _named(fitting, nodes))
    for count in range(2, max(len(node.devices) for node in equipped) + 1):
        spread = [
            node
            for node in equipped
            if len(node.devices) >= count
            and USABLE * count * min(device.memory for device in node.devices) >= need.device_least
        ]
        if spread:
            return Share(need.cpus, 0, float(count), _named(spread, nodes))
    return None


def _named(some: Iterable[Node], every: Sequence[Node]) -> frozenset[str] | None:
    """The nodes' ids; None where they are all there are, so that one which comes later may be used too."""
    ids = frozenset(node.id for node in some)
    return None if ids == {node.id for node in every} else ids


def check(specs: Iterable[RunSpec], nodes: Sequence[Node], needs: Mapping[RunSpec, Need]) -> dict[RunSpec, Share]:
    """What each run asks for. Raises `UserError` that names the first that no node can ever hold, and its need."""
    found, known = {}, {}
    for spec in specs:
        wanted = needs[spec]
        if wanted not in known:
            known[wanted] = share(wanted, nodes)
        if (given := known[wanted]) is None:
            raise UserError(
                f"run {spec.run_id} ({spec}) needs {in_words(wanted)}, and no node of the cluster has that; there is "
                f"{'; '.join(dict.fromkeys(map(described, nodes))) or 'none'}. Add a node that has it, or ask for a "
                "smaller model or batch"
            )
        found[spec] = given
    return found


def in_words(need: Need) -> str:
    """A need for readers."""
    gpu = f", or at least {need.device_least / GB:.1f} GB of GPU memory" if need.device_least else ""
    return f"{need.cpus} CPU{'s' if need.cpus != 1 else ''} with {need.memory / GB:.1f} GB of memory{gpu}"


def described(node: Node) -> str:
    """A node for readers, without its name."""
    gpus = [f"{device.name} with {device.memory / GB:.0f} GB" for device in node.devices]
    cards = f", {len(gpus)} × {gpus[0]}" if gpus else ", no GPU"
    return f"{node.cpus:g} CPU{'s' if node.cpus != 1 else ''}, {node.memory / GB:.1f} GB{cards}"
