"""What a dry run says that runs will take: from counted operations, and from the speed of stored runs."""

import pytest
from small_runs import specs

from beft_lib import models, sweep
from beft_lib.report import outlook
from beft_lib.runs import RunSpec


def encoder(**more):
    return RunSpec(source="hub", **{"model": "bert-base", "task": "sst2", "method": "value", "n_train": 100, **more})


def test_seconds_follow_the_work_the_size_and_the_device():
    cpu, a100 = outlook.DEVICES[0], outlook.DEVICES[3]
    spec = encoder()
    counted = sweep.work(spec) * 4 * models.size("bert-base").parameters / 1e9
    assert outlook.operations(spec) == counted
    assert outlook.seconds(spec, cpu) == pytest.approx(counted / (outlook.USED * cpu.fp32))
    fast = encoder(precision="bf16")
    assert outlook.seconds(spec, a100) / outlook.seconds(fast, a100) == pytest.approx(a100.bf16 / a100.fp32)
    assert outlook.operations(encoder(model="hub:someone/something")) is None


def test_a_chain_is_a_run_and_what_is_merged_from_it():
    parts = specs(2)
    (merged,) = specs(1, method="merged", parts=tuple((part.run_id, 0.5) for part in parts))
    assert outlook.chain({parts[0]: 5.0, parts[1]: 7.0, merged: 2.0}) == 9.0
    assert outlook.chain({parts[0]: 5.0, merged: 2.0}) == 7.0
    assert outlook.chain({}) == 0.0


def test_hours_are_of_named_devices_until_this_machine_has_speeds():
    wanted = specs(2)
    told = list(outlook.lines({"01_bias_selection": wanted}))
    assert "30%" in told[0] and all(device.name in told[1] for device in outlook.DEVICES)
    assert "2 runs" in told[1] and sum("longest chain" in line for line in told) == len(outlook.DEVICES)
    sweep.sweep(wanted, workers=1)
    known = list(outlook.lines({"01_bias_selection": specs(3)}))
    assert "this machine" in known[0] and sum("longest chain" in line for line in known) == 1
    assert not list(outlook.lines({"01_bias_selection": []}))


def test_a_model_of_unknown_size_is_named():
    told = list(outlook.lines({"x": [encoder(model="hub:someone/something"), encoder()]}))
    assert "hub:someone/something" in told[1]


def test_nodes_share_the_runs_and_wait_for_the_longest():
    times = {spec: 3600.0 for spec in specs(8)}
    assert outlook.chain(times) == 3600.0
    assert outlook.hours(3600 * 123456) == "120,000" and outlook.hours(360) == "0.1"
