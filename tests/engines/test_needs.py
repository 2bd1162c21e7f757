"""What a run needs, and which share of which nodes it gets: on nodes as they describe themselves."""

import pytest

from beft_lib import models
from beft_lib.engines import needs
from beft_lib.engines.needs import GB, Device, Need, Node, Share
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec

T4, A40, A100 = Device("Tesla T4", 16 * GB), Device("A40", 48 * GB), Device("A100", 80 * GB)


def node(name, cpus=8.0, memory=64, devices=()):
    return Node(name, f"host-{name}", cpus, memory * GB, tuple(devices))


def encoder(**more):
    fields = {"model": "bert-base", "task": "sst2", "method": "value", "n_train": 100}
    return RunSpec(source="hub", **{**fields, **more})


def decoder(**more):
    return encoder(**{"model": "opt-6.7b", "precision": "bf16", "task": "squad", **more})


def test_memory_grows_with_the_model_the_precision_and_what_trains():
    value, full = needs.need(encoder()), needs.need(encoder(method="full"))
    assert 1 * GB < value.memory < 4 * GB and value.cpus == 1
    assert full.memory > value.memory + 2 * 4 * models.size("bert-base").parameters
    large = needs.need(encoder(model="bert-large"))
    assert large.memory > value.memory and large.device_whole > value.device_whole
    bf16, fp32 = needs.need(decoder()), needs.need(decoder(precision="fp32"))
    assert 13 * GB < bf16.device_least < bf16.device_whole and bf16.device_least < 0.6 * fp32.device_least
    micro = needs.need(decoder(micro_batch=1))
    assert micro.device_whole == micro.device_least == bf16.device_least


def test_a_measured_peak_counts_more_than_an_estimate():
    measured = needs.need(encoder(), threads=2, peak_mb=1000)
    assert measured.memory == int(1000 * 2**20 * needs.MEASURED) and measured.cpus == 2


def test_a_model_that_is_not_known_asks_for_processors_only():
    spec = encoder(model="hub:someone/something")
    assert needs.need(spec) == Need(1, 0, 0, 0)
    assert needs.share(needs.need(spec), [node("a")]) == Share(1, 0)


def test_without_gpus_memory_decides_which_nodes():
    wanted = Need(1, 10 * GB, 10 * GB, 10 * GB)
    small, large = node("small", memory=8), node("large", memory=16)
    assert needs.share(wanted, [small]) is None
    assert needs.share(wanted, [large, large]) == Share(1, 10 * GB)
    assert needs.share(wanted, [small, large]) == Share(1, 10 * GB, nodes=frozenset({"large"}))
    assert needs.share(Need(16, 1, 1, 1), [large]) is None


@pytest.mark.parametrize(
    ("whole", "least", "nodes", "gpus", "on"),
    [
        (1, 1, [node("a", devices=[T4])], 0.25, None),  # four small runs share a device
        (6, 1, [node("a", devices=[T4])], 0.5, None),
        (12, 1, [node("a", devices=[T4])], 1.0, None),
        (12, 1, [node("a", devices=[T4]), node("b", devices=[A100])], 1.0, None),  # the smallest that holds it
        (30, 20, [node("a", devices=[T4]), node("b", devices=[A40])], 1.0, {"b"}),
        (90, 20, [node("a", devices=[A40]), node("b", devices=[A100])], 1.0, {"b"}),  # with a smaller micro-batch
        (90, 20, [node("a", devices=[T4] * 4)], 2.0, None),  # spread over devices of one node
        (90, 50, [node("a", devices=[T4] * 2), node("b", devices=[T4] * 4)], 4.0, {"b"}),
        (12, 1, [node("a"), node("b", devices=[T4])], 1.0, {"b"}),  # a node without a GPU is left out
    ],
)
def test_a_gpu_is_shared_or_several_are_taken_by_the_memory_needed(whole, least, nodes, gpus, on):
    found = needs.share(Need(1, 2 * GB, whole * GB, least * GB), nodes)
    assert found == Share(1, 0, gpus, None if on is None else frozenset(on))


def test_opt_67b_has_one_large_gpu_or_several_small_ones():
    wanted = needs.need(decoder())
    assert needs.share(wanted, [node("a", devices=[A100])]).gpus == 1.0
    assert needs.share(wanted, [node("a", devices=[A40])]).gpus == 1.0
    assert needs.share(wanted, [node("a", devices=[T4] * 4)]).gpus == 2.0
    assert needs.share(wanted, [node("a", devices=[T4])]) is None


def test_what_no_node_can_hold_names_the_run_and_the_need():
    spec = decoder()
    with pytest.raises(UserError) as error:
        needs.check([spec], [node("a", devices=[T4])], {spec: needs.need(spec)})
    assert spec.run_id in str(error.value) and "GB of GPU memory" in str(error.value)
    assert "Tesla T4 with 16 GB" in str(error.value)


def test_every_model_of_the_catalogue_has_a_size():
    assert all(models.size(name) is not None for name in models.CATALOGUE)


def test_the_size_of_a_folder_is_read_from_its_headers(tmp_path):
    made = models.causal("tiny-llama")
    made.save_pretrained(tmp_path)
    size = models.size(str(tmp_path))
    assert size.parameters == sum(p.numel() for p in made.parameters())
    assert (size.layers, size.width) == (2, 32)
