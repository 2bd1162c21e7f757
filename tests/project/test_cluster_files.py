"""The files that start a cluster: short, of the right form, and a batch script that really starts one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "cluster").iterdir())
PINNED = dict(line.split("==") for line in (ROOT / "requirements-ray.lock").read_text().splitlines() if "==" in line)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_is_short_and_says_what_to_edit(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 60
    assert [text.count(f"{number}. edit:") for number in (1, 2, 3)] == [1, 1, 1]
    assert "run_all.sh" in text and "--engine ray" in text


def test_the_kubernetes_job_has_a_head_and_workers_of_one_image():
    job = yaml.safe_load((ROOT / "cluster" / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob") and job["metadata"]["name"]
    assert "--engine ray" in job["spec"]["entrypoint"] and job["spec"]["shutdownAfterJobFinishes"] is True
    made = job["spec"]["rayClusterSpec"]
    assert made["rayVersion"] == PINNED["ray"]
    groups = [made["headGroupSpec"], *made["workerGroupSpecs"]]
    containers = [one for group in groups for one in group["template"]["spec"]["containers"]]
    assert len({one["image"] for one in containers}) == 1
    assert all(one["resources"]["requests"] == one["resources"]["limits"] for one in containers)
    for group in made["workerGroupSpecs"]:
        assert group["groupName"] and group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    volumes = {one["name"] for one in made["headGroupSpec"]["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in containers[0]["volumeMounts"]} == volumes


def test_the_cloud_file_names_its_nodes_and_installs_both_locks():
    file = yaml.safe_load((ROOT / "cluster" / "ray-cloud.yaml").read_text())
    assert {"cluster_name", "provider", "auth", "available_node_types", "head_node_type"} <= file.keys()
    kinds = file["available_node_types"]
    assert file["head_node_type"] in kinds
    assert sum(kind.get("max_workers", 0) for kind in kinds.values()) <= file["max_workers"]
    installed = " ".join(file["setup_commands"])
    assert "requirements.lock" in installed and "requirements-ray.lock" in installed
    assert any("--head" in line for line in file["head_start_ray_commands"])
    assert any("$RAY_HEAD_IP" in line for line in file["worker_start_ray_commands"])


def test_the_extra_and_the_pins_are_of_one_version():
    text = (ROOT / "pyproject.toml").read_text()
    extra = Requirement(text.split('\nray = ["', 1)[1].split('"', 1)[0])
    assert extra.specifier.contains(PINNED["ray"])


SRUN = """#!/bin/sh
# One of SLURM's machines is this one: the options go, and the command runs here.
while case "$1" in --*) true ;; *) false ;; esac; do shift; done
exec "$@"
"""
SCONTROL = "#!/bin/sh\necho 127.0.0.1\necho localhost\n"
RUN_ALL = """#!/usr/bin/env python
import sys
from small_runs import specs
from beft_lib import sweep
assert sys.argv[1:4] == ["smoke", "--engine", "ray"] and sys.argv[4] == "--address"
print(sweep.sweep(specs(2), engine="ray", address=sys.argv[5]).status.tolist())
"""


@pytest.mark.slow
def test_the_batch_script_starts_a_cluster_and_ends_it(tmp_path):
    """`srun` starts real Ray nodes on this machine."""
    pytest.importorskip("ray")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "run_all.sh").write_text(RUN_ALL)
    (checkout / "run_all.sh").chmod(0o755)
    environment = {
        **os.environ,
        "CHECKOUT": str(checkout),
        "COMMAND": "smoke",
        "BEFT_BIN": f"{tools}:{Path(sys.executable).parent}",
        "PYTHONPATH": f"{ROOT / 'tests' / 'light'}:{ROOT}:{ROOT / 'tests'}",  # Ray starts in time on a busy machine
        "RAY_worker_niceness": "0",
        "SLURM_JOB_NODELIST": "any",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_CPUS_PER_TASK": "1",
        "RAY_START": "--object-store-memory=100000000",
    }
    done = subprocess.run(["bash", ROOT / "cluster" / "slurm.sh"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "['done', 'done']" in done.stdout
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    port = 20000 + os.getpid() % 20000
    assert not [line for line in listed.splitlines() if "raylet" in line and f":{port}" in line]
