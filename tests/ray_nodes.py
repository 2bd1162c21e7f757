"""Ray clusters of several nodes on this machine, for tests. A test that needs one imports this file first: it is
skipped where Ray is not installed.

cluster      a block with a cluster: its address, and nodes to kill
add          one node more
workers      the processes in which runs go on
"""

import os
import socket
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

LIGHT = str(Path(__file__).resolve().parent / "light")  # see there
sys.path.insert(0, LIGHT)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (LIGHT, os.environ.get("PYTHONPATH"))))
pytest.importorskip("ray", reason="Ray is not installed (pip install -r requirements-ray.lock)")

# A busy machine takes its time to start a node.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "60")
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 lets the runs starve beside other tests
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


def node(**more) -> dict:
    """How a node is started: small, and with ports of its own, for which nothing waits."""
    sockets = [socket.socket() for _ in PORTS]
    for one in sockets:
        one.bind(("", 0))
    ports = {name: one.getsockname()[1] for name, one in zip(PORTS, sockets)}
    for one in sockets:
        one.close()
    return {"num_cpus": 1, "object_store_memory": 100_000_000, "include_log_monitor": False, **ports, **more}


@contextmanager
def cluster(nodes: int, **more):
    """A cluster of so many nodes, the first of them the head; it is gone after the block, whatever happened."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    try:
        add(made, include_dashboard=False, no_monitor=True, **more)
        for _ in range(nodes - 1):
            add(made, **more)
        yield made
    finally:
        made.shutdown()


def add(made, **more):
    """Add a node to a cluster. Its parts wait for each other a fixed time, which on a busy machine may be too short."""
    for left in (3, 2, 1, 0):
        try:
            return made.add_node(**node(**more))
        except Exception as error:  # Ray has no kind of its own for this
            if "timed out during startup" not in str(error) or not left:
                raise


def workers(made) -> list[int]:
    """The processes of the cluster that carry out a run now."""
    raylets = {one.all_processes["raylet"][0].process.pid for one in made.list_all_nodes()}
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            title = (path / "cmdline").read_bytes()
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        if title.startswith(b"ray::_on_node") and parent in raylets:
            found.append(int(path.name))
    return found
