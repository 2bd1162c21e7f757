"""How much of the machine a process may use, and what an execution's figures and tables are called."""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from beft_lib import workspace
from beft_lib.errors import UserError
from beft_lib.report.show import show, show_table
from beft_lib.workspace import Workspace


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many cores, and these devices in $CUDA_VISIBLE_DEVICES."""

    def of(cores: int, devices: str | None = "") -> None:
        monkeypatch.setattr(workspace, "cores", lambda: cores)
        if devices is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)

    return of


# ----------------------------------------------------------------------------------------------------------- devices


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        ("", []),
        ("-1", []),
        ("0", ["0"]),
        ("3, 1", ["3", "1"]),
        ("GPU-5b3a,MIG-7", ["GPU-5b3a", "MIG-7"]),
        ("0,1,", ["0", "1"]),
    ],
)
def test_the_devices_are_those_that_are_visible_by_their_own_names(machine, visible, devices):
    machine(4, visible)
    assert workspace.gpus() == devices


@pytest.mark.parametrize("count", [0, 3])
def test_devices_that_nobody_chose_are_counted(machine, monkeypatch, tmp_path, count):
    machine(4, None)
    monkeypatch.setattr(workspace, "Path", lambda path: tmp_path / path.lstrip("/"))
    assert workspace.gpus() == []  # no driver
    for number in range(count):
        (tmp_path / "proc/driver/nvidia/gpus" / f"0000:{number}").mkdir(parents=True)
    assert workspace.gpus() == [str(number) for number in range(count)]


@pytest.mark.parametrize("workers", range(1, 8))
@pytest.mark.parametrize("devices", [[], ["7"], ["4", "2"], ["0", "1", "2", "3", "4"]])
def test_every_device_is_used_and_every_worker_has_as_many_as_the_others(machine, workers, devices):
    machine(8, ",".join(devices))
    found = workspace.shares(workers)
    given = [device for share in found for device in share]
    assert len(found) == workers and set(given) == set(devices)
    sizes = [len(share) for share in found]
    assert max(sizes) - min(sizes) <= 1 and min(sizes) >= bool(devices)
    crowds = [given.count(device) for device in devices]
    assert max(crowds, default=0) - min(crowds, default=0) <= 1
    assert workers > len(devices) or len(given) == len(devices)  # nobody shares where there are enough


# ----------------------------------------------------------------------------------------------------------- workers


@pytest.mark.parametrize(
    ("cores", "devices", "wanted"), [(6, "", 6), (6, "0", 1), (6, "0,1", 2), (2, "0,1,2,3", 2), (1, "-1", 1)]
)
def test_a_worker_has_a_device_or_without_any_a_core(machine, cores, devices, wanted):
    machine(cores, devices)
    assert workspace.workers() == wanted
    workspace.check_workers(wanted)


def test_a_given_number_of_workers_stands(machine, monkeypatch):
    machine(8, "0")
    monkeypatch.setenv("BEFT_WORKERS", "3")
    assert workspace.workers() == 3


@pytest.mark.parametrize("count", [0, -1, 5])
def test_more_workers_than_cores_or_none_are_refused(machine, count):
    machine(4)
    with pytest.raises(UserError, match=f"--workers {count}; valid: 1 to 4"):
        workspace.check_workers(count, "--workers")


# --------------------------------------------------------------------------------------------------- what was told


def test_another_process_is_told_the_whole_workspace():
    told = Workspace(
        Path("/somewhere/runs"),
        True,
        Path("/somewhere/out"),
        "__tiny-opt",
        Path("/dev/null"),
        3,
        12.25,
        13.5,
        "ray",
        "h:1",
    )
    assert Workspace.from_environment(told.environment()) == told
    assert "" not in vars(told).values() and all(told.environment().values())
    plain = Workspace(Path("/runs"))
    assert Workspace.from_environment(os.environ | told.environment() | plain.environment()) == plain


def test_a_workspace_holds_inside_its_block_and_the_one_before_is_restored(tmp_path):
    before, told = workspace.current(), Workspace(runs=tmp_path / "records", published=True, workers=1, fresh=5.0)
    variables = dict(os.environ)
    with pytest.raises(ZeroDivisionError), workspace.using(told):
        assert (workspace.runs_folder(), workspace.published()) == (tmp_path / "records", True)
        assert (workspace.workers(), workspace.fresh_since(), workspace.report_folder()) == (1, 5.0, None)
        assert workspace.environment() == variables | told.environment() and dict(os.environ) == variables
        with workspace.using(before):
            assert not workspace.published()
        assert workspace.published()
        _ = 1 / 0
    assert workspace.current() == before and dict(os.environ) == variables


def test_the_store_is_the_checkouts_only_for_who_works_in_it(tmp_path, monkeypatch):
    root = workspace.checkout()
    assert root is not None
    told = {"BEFT_CACHE": str(tmp_path / "cache")}
    for folder, expected in ((root, root), (root / "notebooks", root), (tmp_path, tmp_path / "cache")):
        monkeypatch.chdir(folder)
        assert Workspace.from_environment(told).runs == expected / "runs"
    assert Workspace.from_environment(told | {"BEFT_RUNS": "/mine"}).runs == Path("/mine")


@pytest.mark.parametrize("name", ["BEFT_WORKERS", "BEFT_FRESH"])
def test_a_variable_that_is_no_number_is_refused(monkeypatch, name):
    monkeypatch.setenv(name, "many")
    with pytest.raises(UserError, match=f"{name} is 'many'; give a number"):
        workspace.current()


# ------------------------------------------------------------------------------------------ whole or not at all


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_or_the_one_before_stays(tmp_path):
    file = tmp_path / "made" / "file.txt"
    workspace.write_whole(file, "première")
    assert file.read_bytes() == "première".encode()
    with pytest.raises(KeyboardInterrupt), workspace.whole(file) as partial:
        partial.write_bytes(b"half")
        assert file.read_bytes() == "première".encode()
        raise KeyboardInterrupt
    assert file.read_bytes() == "première".encode() and names(file.parent) == ["file.txt"]
    with workspace.whole(file) as partial:
        partial.write_bytes(b"second")
    assert file.read_bytes() == b"second" and names(file.parent) == ["file.txt"]


def test_a_folder_is_put_whole_and_replaces_the_one_before(tmp_path):
    folder = tmp_path / "folder"
    workspace.put_whole(folder, {"a": b"1", "b": b"2"})
    with pytest.raises(TypeError):
        workspace.put_whole(folder, {"c": b"3", "d": 4})
    assert names(folder) == ["a", "b"]
    workspace.put_whole(folder, {"c": b"3"})
    assert names(folder) == ["c"] and names(tmp_path) == ["folder"]


def test_what_a_killed_writer_left_is_swept_after_an_hour(tmp_path):
    old, new = (tmp_path / f".runs.jsonl.{number}-1.partial" for number in (1, 2))
    (tmp_path / ".folder-x").mkdir()
    for path in (old, new, tmp_path / "kept-file"):
        path.write_text("")
    for path in (old, tmp_path / ".folder-x", tmp_path / "kept-file"):
        os.utime(path, (0, 0))
    workspace.sweep_leftovers(tmp_path)
    workspace.sweep_leftovers(tmp_path / "absent")
    assert names(tmp_path) == [new.name, "kept-file"]


# ----------------------------------------------------------------------------------------------------------- display


def shown() -> dict[str, bytes]:
    """What a figure and a table leave in the report's folder, by path."""
    figure, axis = plt.subplots()
    axis.plot([0, 1])
    show(figure, "curve", "A curve.", "It rises.")
    show_table(pd.DataFrame({"x": [1]}), "numbers", "Numbers.")
    out = workspace.report_folder()
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def named(variant: str) -> set[str]:
    figures = {f"figures{os.sep}curve{variant}.{kind}" for kind in ("svg", "png")}
    return figures | {f"tables{os.sep}numbers{variant}.{kind}" for kind in ("csv", "md", "tex")}


@pytest.mark.parametrize("variant", ["", "__opt-1.3b"])
def test_each_execution_of_a_matrix_files_under_its_own_name(monkeypatch, tmp_path, variant):
    monkeypatch.setenv("BEFT_OUT", str(tmp_path))
    monkeypatch.setenv("BEFT_VARIANT", variant)
    assert set(shown()) == named(variant)


def test_the_name_of_an_execution_changes_no_byte_of_its_files(monkeypatch, tmp_path):
    found = []
    for variant in ("", "__tiny-opt"):
        monkeypatch.setenv("BEFT_OUT", str(tmp_path / f"out{variant}"))
        monkeypatch.setenv("BEFT_VARIANT", variant)
        found.append([content for _, content in sorted(shown().items())])
    assert found[0] == found[1]


def test_executions_of_a_matrix_leave_each_others_files_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("BEFT_OUT", str(tmp_path))
    for variant in ("__tiny-opt", "__tiny-llama"):
        monkeypatch.setenv("BEFT_VARIANT", variant)
        found = shown()
    assert set(found) == named("__tiny-opt") | named("__tiny-llama")


def test_without_a_report_nothing_is_filed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    figure, _ = plt.subplots()
    show(figure, "curve", "A curve.", "Nothing.")
    show_table(pd.DataFrame({"x": [1]}), "numbers", "Numbers.")
    assert workspace.report_folder() is None and not list(tmp_path.iterdir())
