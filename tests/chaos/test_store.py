"""A store under bad luck: many drivers at once, a full disk, a read-only folder, flipped bytes, a stop in mid-write."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_runs import specs

from beft_lib import runs, sweep, workspace
from beft_lib.runs import Damaged, store

ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
from small_runs import specs
from beft_lib import sweep
assert sweep.sweep(specs(5), workers=1).status.eq("done").all()
"""


def start(code: str, **more) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, **more)


def left_over() -> list[str]:
    """What lies in the store that is no run."""
    return [path.name for path in workspace.runs_folder().iterdir() if path.name.startswith(".") or path.suffix]


@pytest.mark.slow
def test_four_drivers_share_one_store():
    drivers = [start(DRIVER, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [driver.wait(300) for driver in drivers] == [0] * 4
    planned = sweep.plan(specs(5))
    assert planned.cached == 5 and not planned.damaged and not left_over()


def test_a_full_disk_leaves_no_part_of_a_run():
    """A file can have no more than so many bytes, as on a full disk."""
    (spec,) = specs(1)
    runs.run(spec)
    largest = max(file.stat().st_size for file in store.folder(spec.run_id).iterdir())
    whole = store.read(spec)
    (other,) = specs(1, seed=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 1, hard))
    try:
        with pytest.raises(OSError):
            runs.run(spec)
        with pytest.raises(OSError):
            runs.run(other)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.read(spec) == whole and store.read(other) is None and not left_over()
    assert sweep.plan([spec, other]).new == (other,)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_store_is_said_and_read():
    (spec, other) = specs(2)
    runs.run(spec)
    folder = workspace.runs_folder()
    folder.chmod(0o555)
    try:
        with pytest.raises(OSError, match="Permission denied"):
            runs.run(other)
        assert store.read(spec).done
    finally:
        folder.chmod(0o755)


def test_a_byte_that_flipped_anywhere_is_seen():
    (spec,) = specs(1, method="all_biases", ranking=True)
    runs.run(spec)
    draw, folder = random.Random(0), store.folder(spec.run_id)
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        for place in draw.sample(range(len(content)), min(40, len(content))):
            flipped = bytearray(content)
            flipped[place] ^= 1 << draw.randrange(8)
            file.write_bytes(flipped)
            with pytest.raises(Damaged):
                store.read(spec)
        file.write_bytes(content)
    assert store.read(spec).done


def test_a_run_of_an_earlier_version_has_no_digest_of_its_own():
    (spec,) = specs(1)
    runs.run(spec)
    (store.folder(spec.run_id) / store.DIGEST).unlink()
    assert store.read(spec).done


WRITER = """
from beft_lib import workspace
folder, number = workspace.runs_folder() / "made", 0
print("ready", flush=True)
while True:
    workspace.put_whole(folder, {name: bytes([number % 256]) * 200_000 for name in ("a", "b")})
    number += 1
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stop_in_mid_write_leaves_one_whole_folder_or_the_other(number):
    draw, folder = random.Random(0), workspace.runs_folder() / "made"
    for _ in range(4):
        writer = start(WRITER, stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(draw.uniform(0.02, 0.1))
        writer.send_signal(number)
        writer.wait()
        writer.stdout.close()
        if folder.exists():  # between its going and the next one's coming there is none
            a, b = (folder / "a").read_bytes(), (folder / "b").read_bytes()
            assert a == b and len(a) == 200_000 and len(set(a)) == 1
