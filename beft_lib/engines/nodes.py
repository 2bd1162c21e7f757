"""What nodes a Ray cluster has, and what runs need there, by what was measured before."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from beft_lib.engines import needs, on_node
from beft_lib.engines.needs import Need, Node
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec, store

ID = "ray.io/node-id"  # Ray's own label of a node


def described(ray: Any) -> list[Node]:
    """Every node with processors, as it describes itself, sorted by host; one that does not answer is left out."""
    asked = {}
    for node in ray.nodes():
        resources = node["Resources"]
        if node["Alive"] and resources.get("CPU"):
            about = node["NodeID"], resources["CPU"], int(resources.get("memory", 0)), int(resources.get("GPU", 0))
            there = {"num_cpus": 0, "max_retries": 0, "label_selector": {ID: node["NodeID"]}}
            asked[ray.remote(on_node.describe).options(**there).remote(*about)] = node
    found = []
    for reference in asked:
        with suppress(ray.exceptions.RayError):
            found.append(ray.get(reference, timeout=300))
    if not found:
        raise UserError("the Ray cluster has no node with processors that answers; start one with `ray start`")
    return sorted(found, key=lambda node: (node.host, node.id))


def needs_of(specs: Sequence[RunSpec], threads: int) -> dict[RunSpec, Need]:
    """What the runs need; a model's measured peak of memory counts more than an estimate."""
    peaks: dict[str, float] = {}
    for result in store.recorded():
        if (peak := result.cost.get("peak_memory_mb")) is not None and not result.environment.get("gpu"):
            peaks[result.spec["model"]] = max(peak, peaks.get(result.spec["model"], 0.0))
    return {spec: needs.need(spec, threads, peaks.get(spec.model)) for spec in specs}


def told_of(node: Mapping[str, Any]) -> Node:
    """A node as Ray tells of it, which knows no devices."""
    resources = node["Resources"]
    return Node(node["NodeID"], node["NodeManagerHostname"], resources["CPU"], int(resources.get("memory", 0)))
