"""What a run does on a node of a cluster, without a cluster: the node is this process, the driver a stand-in."""

import gzip
import json
from dataclasses import replace

import pytest
from processes import threads
from small_runs import specs

from beft_lib import runs, tasks, workspace
from beft_lib.engines import on_node
from beft_lib.errors import UserError
from beft_lib.runs import Damaged, RunSpec, store


class Post:
    def __init__(self):
        self.beats, self.checkpoints = [], []

    def beat(self, cpu_seconds):
        self.beats.append(cpu_seconds)

    def checkpoint(self, content):
        self.checkpoints.append(content)


def order(spec, **more):
    elsewhere = {"store": "/a/folder/of/the/driver", "token": ".none", "packages": on_node.versions(), "job": "t-job"}
    return on_node.Order(spec, 1, **{**elsewhere, **more})


@pytest.fixture(autouse=True)
def own_scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(on_node.tempfile, "gettempdir", lambda: str(tmp_path / "node"))
    (tmp_path / "node").mkdir()


def made(spec):
    """The run as the store has it, on this machine."""
    runs.run(spec)
    return store.read(spec)


def carried_out(spec, data=None, post=None, begun=None, **more):
    return on_node.carry_out(order(spec, **more), on_node.pack(spec), data or {}, post or Post(), begun)


def test_a_run_travels_back_as_its_files_and_is_that_of_this_machine(tmp_path):
    (spec,) = specs(1)
    with threads(1):
        here = made(spec)
        files = carried_out(spec, noted={"node": "n"})
    with workspace.using(workspace.Workspace(runs=tmp_path / "driver")):
        there = store.accept(spec, files)
        assert store.read(spec) == there
    assert (there.files, there.losses, there.metrics) == (here.files, here.losses, here.metrics)
    assert there.environment == here.environment | {"node": "n"}
    assert not list((tmp_path / "node").glob("beft-*"))  # nothing is left on the node


def test_what_comes_back_is_written_only_if_it_is_whole(tmp_path):
    (spec, other) = specs(2)
    files = carried_out(spec)
    flipped = bytearray(files["delta.safetensors"])
    flipped[-1] ^= 1
    for damaged in (
        {},
        files | {"delta.safetensors": bytes(flipped)},
        {name: content for name, content in files.items() if name != "predictions.npz"},
        files | {"more": b""},
        files | {"result.json": files["result.json"][:-20]},
    ):
        with pytest.raises(Damaged, match=spec.run_id):
            store.accept(spec, damaged)
    with pytest.raises(Damaged, match="is of another run"):
        store.accept(other, files)
    assert store.read(spec) is None and store.read(other) is None


def test_a_node_that_sees_the_store_writes_there(tmp_path):
    (spec,) = specs(1)
    shared = tmp_path / "shared"
    workspace.write_whole(shared / ".shared-1", ".shared-1")
    assert carried_out(spec, store=str(shared), token=".shared-1") is None
    with workspace.using(workspace.Workspace(runs=shared)):
        assert store.read(spec).done


def test_a_node_with_other_versions_is_refused_and_the_difference_named():
    (spec,) = specs(1)
    needed = on_node.versions()
    with pytest.raises(on_node.Refused, match="torch is .* \\(1.0 is needed\\)"):
        carried_out(spec, packages={**needed, "torch": "1.0"})
    assert on_node.difference(needed, needed) == ""
    assert on_node.difference({"torch": "1"}, {}) == "torch is missing (1 is needed)"


@pytest.mark.parametrize(("field", "said"), [("data", "its data are"), ("weights", "its weights are")])
def test_data_and_weights_of_another_identity_are_refused(field, said):
    (spec,) = specs(1)
    with pytest.raises(on_node.Refused, match=said):
        carried_out(spec.model_copy(update={field: "another"}))


def test_a_merged_run_takes_its_parts_along():
    parts = specs(2)
    for part in parts:
        runs.run(part)
    (merged,) = specs(1, method="merged", parts=tuple((p.run_id, 0.5) for p in parts), head_of=(parts[0].run_id,))
    packed = on_node.pack(merged)
    assert {path.split("/")[0] for path in packed} == {part.run_id for part in parts}
    with threads(1):
        assert store.accept(merged, carried_out(merged)).files == made(merged).files


def test_local_data_travel_from_the_driver(tmp_path):
    given = tmp_path / "data"
    rows = [{"sentence": f"{'good' if i % 2 else 'bad'} {i}", "label": i % 2, "idx": i} for i in range(40)]
    for split in ("train", "validation"):
        path = given / "sst2" / f"{split}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    spec = RunSpec(
        model="tiny-bert", task="sst2", source=f"local:{given}", n_train=16, epochs=1, method="value", n_eval=10
    )
    data = on_node.pack_data(spec)
    assert sorted(data) == ["sst2/train.jsonl.gz", "sst2/validation.jsonl.gz"]
    given.rename(tmp_path / "not-on-the-node")
    assert store.accept(spec, carried_out(spec, data=data)).done


def test_data_of_ones_own_travel_with_the_run(tmp_path):
    rows = [{"text": f"{'good' if i % 2 else 'bad'} {i}", "label": "yes" if i % 2 else "no"} for i in range(60)]
    found = tasks.adopt(rows, rows[:30], name="mine")
    spec = RunSpec(model="tiny-bert", task=found.task, source=found.source, n_train=16, epochs=1, method="value")
    packed = on_node.pack(spec)
    assert f"own/{found.task}/task.yaml" in packed and not on_node.pack_data(spec)
    files = on_node.carry_out(order(spec), packed, {}, Post(), None)
    assert store.accept(spec, files).done


def test_a_checkpoint_travels_and_another_node_goes_on_from_it(monkeypatch):
    from beft_lib.tuning import loop

    (spec,) = specs(1, epochs=4, n_train=64)
    with threads(1):
        whole = made(spec)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(on_node, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(on_node, "CHECKPOINT_SECONDS", 0.0)
    post = Post()
    with threads(1):
        carried_out(spec, post=post)
    assert post.beats and post.checkpoints
    with threads(1):
        assert store.accept(spec, carried_out(spec, begun=post.checkpoints[-1])).files == whole.files
        resumed = store.accept(spec, carried_out(spec, begun=with_first_loss(post.checkpoints[-1], 123.0)))
    assert resumed.losses[0] == 123.0 and resumed.losses[-1] == whole.losses[-1]  # it did not begin anew


def with_first_loss(checkpoint: bytes, value: float) -> bytes:
    """The checkpoint, with another loss of its first epoch."""
    length = int.from_bytes(checkpoint[:8], "little")
    header = json.loads(checkpoint[8 : 8 + length])
    trace = json.loads(header["__metadata__"]["trace"])
    trace["losses"][0] = value
    header["__metadata__"]["trace"] = json.dumps(trace)
    packed = json.dumps(header).encode()
    return len(packed).to_bytes(8, "little") + packed + checkpoint[8 + length :]


def test_an_order_can_note_more():
    (spec,) = specs(1)
    assert on_node.noting(order(spec, noted={"a": 1}), {"b": 2}).noted == {"a": 1, "b": 2}
    assert replace(order(spec), threads=2).threads == 2


def test_what_a_user_did_wrong_is_said_by_the_node():
    (spec,) = specs(1)
    with pytest.raises(UserError, match="nowhere"):
        carried_out(spec.model_copy(update={"model": "nowhere"}))
