"""The connection of this process to a Ray cluster: made once, and an error in one sentence where it cannot be made."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import beft_lib
from beft_lib.errors import UserError

FORMS = "auto (the cluster of this machine), HOST:PORT, or ray://HOST:PORT"
STARTING_SECONDS = 60  # a head that answers may still be starting its own node
SECONDS = 5  # until a host that does not answer counts as unreachable

_connected: tuple[int, str] | None = None  # this process, and the address


def connect(address: str) -> Any:
    """The module `ray`, connected to the cluster at `address`; its workers import this very library.

    Raises `UserError` where Ray is not installed, or the address is none or leads to no cluster.
    """
    global _connected
    host = _checked(address)
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise UserError(
            "engine 'ray' needs Ray, which is not installed; install it with `pip install -r requirements-ray.lock` "
            "(./run_all.sh --engine ray does so in its own environment), or leave the engine out"
        ) from None
    if ray.is_initialized():
        if _connected is not None and _connected != (os.getpid(), address):
            raise UserError(f"this process uses the cluster at {_connected[1]!r}; end it to use the one at {address!r}")
        return ray
    if host is not None:
        _check_answers(address, *host)
    _quiet()
    deadline = time.monotonic() + (STARTING_SECONDS if host is not None else 0.0)
    while (error := _init(ray, address)) is not None and time.monotonic() < deadline:
        time.sleep(2)
    if error is not None:
        reason = " ".join(str(error).split())[:300]
        start = "; start one with `ray start --head`" if address == "auto" else ""
        raise UserError(f"no Ray cluster could be used at address {address!r}: {reason}{start}. Valid: {FORMS}")
    _connected = os.getpid(), address
    return ray


def _init(ray: Any, address: str) -> Exception | None:
    """Connect; the error where that does not work, of Ray's own kinds, gRPC's, or the network's."""
    try:
        ray.init(
            address=address,
            namespace="beft",
            runtime_env={"py_modules": [str(Path(beft_lib.__file__).parent)], "excludes": ["**/__pycache__"]},
            log_to_driver=False,
            logging_level="ERROR",
        )
    except Exception as error:
        return error
    return None


def _checked(address: str) -> tuple[str, int] | None:
    """Host and port of an address, None for `auto`; `UserError` if it is of no valid form."""
    if address == "auto":
        return None
    match = re.fullmatch(r"(?:ray://)?(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})", address)
    if match is None or not 0 < int(match[3]) < 65536:
        raise UserError(f"address {address!r} is of no cluster; valid: {FORMS}")
    return match[1] or match[2], int(match[3])


def _check_answers(address: str, host: str, port: int) -> None:
    """Raise `UserError` where nothing listens, or what does is no Ray: by itself Ray tries for over a minute, and then
    ends the process."""
    try:
        socket.create_connection((host, port), SECONDS).close()
    except OSError as error:
        raise UserError(
            f"no Ray cluster answers at address {address!r}: {error.strerror or error}. Check host and port (of the "
            "head, as `ray start --head` prints it), and that this machine can reach it"
        ) from None
    if not address.startswith("ray://"):
        asked = [sys.executable, "-c", _ASK, f"{host}:{port}"]
        try:
            answered = subprocess.run(asked, capture_output=True, timeout=12 * SECONDS).returncode == 0
        except subprocess.TimeoutExpired:
            answered = False
        if not answered:
            raise UserError(f"what answers at address {address!r} is no Ray cluster of this version; valid: {FORMS}")


# In a process of its own, as Ray ends the one in which a cluster does not answer.
_ASK = """
import sys
from ray._raylet import GcsClient
GcsClient(address=sys.argv[1]).internal_kv_get(b"beft", None, timeout=5)
"""


def _quiet() -> None:
    """Nothing of Ray's own in the progress lines: no usage report, no repeated warnings."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")


def close() -> None:
    """Leave the cluster, which ends what this process has running there; nothing if it is not connected."""
    global _connected
    if _connected is not None and _connected[0] == os.getpid():
        import ray  # pyright: ignore[reportMissingImports]

        ray.shutdown()
    _connected = None
