"""How the changes of merged runs lie to each other: cosines, their null and angles are those of the vectors."""

import numpy as np
import pytest
from constructed import aligned, setting, specified, written

from beft_lib.evidence import cosines as tuned_cosines
from beft_lib.evidence import stats
from beft_lib.evidence.cosines import OVERALL

KEYS = ("0/value", "1/value", "2/value")


def drawn(seed: int, sizes=(24, 24, 48), scales=(1.0, 3.0, 0.2), keys=KEYS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {key: scale * rng.normal(size=size) for key, size, scale in zip(keys, sizes, scales)}


def whole(change) -> np.ndarray:
    return np.concatenate(list(change.values()))


def of(a, b) -> float:
    return np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)


def in_layer(frame, layer: str):
    (row,) = frame[frame.layer == layer].itertuples()
    return row


# --------------------------------------------------------------------------------------------------------- cosines


def test_cosines_are_those_of_each_layers_vectors_and_of_the_whole():
    first, second = drawn(0), drawn(1)
    frame = tuned_cosines.alignments([aligned(5, first, second)])
    assert frame.layer.tolist() == ["0", "1", "2", OVERALL] and set(frame.seed) == {5} and set(frame.task) == {"sst2"}
    for key in KEYS:
        assert in_layer(frame, key[0]).cosine == pytest.approx(of(first[key], second[key]))
    assert in_layer(frame, OVERALL).cosine == pytest.approx(of(whole(first), whole(second)))


def test_a_layers_biases_count_together():
    keys = ("0/query", "0/value", "1/value")
    first, second = drawn(0, keys=keys), drawn(1, keys=keys)
    frame = tuned_cosines.alignments([aligned(0, first, second)])
    both = [np.concatenate([change["0/query"], change["0/value"]]) for change in (first, second)]
    assert frame.layer.tolist() == ["0", "1", OVERALL]
    assert in_layer(frame, "0").cosine == pytest.approx(of(*both))


def test_layers_are_in_the_models_order():
    keys = [f"{layer}/value" for layer in (10, 2, 0, 11, 1)]
    changes = [{key: own for key in keys for own in [np.arange(1.0, 4.0)]} for _ in range(2)]
    assert tuned_cosines.alignments([aligned(0, *changes)]).layer.tolist() == ["0", "1", "2", "10", "11", OVERALL]


def test_cosines_of_the_tuned_biases_are_beside_those_of_their_changes():
    own, changes = drawn(9, scales=(5.0, 5.0, 5.0)), [drawn(0), drawn(1)]
    tuned = [{key: own[key] + change[key] for key in KEYS} for change in changes]
    frame = tuned_cosines.alignments([aligned(0, *changes, tuned=tuned)])
    for key in KEYS:
        row = in_layer(frame, key[0])
        assert row.tuned == pytest.approx(of(tuned[0][key], tuned[1][key]))
        assert row.cosine == pytest.approx(of(changes[0][key], changes[1][key]))
    assert in_layer(frame, OVERALL).tuned == pytest.approx(of(whole(tuned[0]), whole(tuned[1])))
    for layer in ("1", OVERALL):
        assert tuned_cosines.cosine(frame, layer, of="tuned").mean == pytest.approx(in_layer(frame, layer).tuned)
        assert tuned_cosines.cosine(frame, layer).mean == pytest.approx(in_layer(frame, layer).cosine)
    assert in_layer(frame, OVERALL).tuned > 0.8 > 0.5 > abs(in_layer(frame, OVERALL).cosine)


@pytest.mark.parametrize(("times", "cosine"), [(1.0, 1.0), (0.25, 1.0), (-2.0, -1.0)])
def test_parallel_changes_have_a_cosine_of_one_whatever_their_lengths(times, cosine):
    first = drawn(0)
    frame = tuned_cosines.alignments([aligned(0, first, {key: times * own for key, own in first.items()})])
    assert frame.cosine.to_numpy() == pytest.approx(np.full(4, cosine))
    assert tuned_cosines.angle(frame.cosine[3]) == pytest.approx(0 if cosine > 0 else 180, abs=1e-5)


def test_layers_that_move_further_weigh_more_in_the_whole():
    first = {"0/value": [9.0, 0.0], "1/value": [0.0, 1.0]}
    second = {"0/value": [9.0, 0.0], "1/value": [1.0, 0.0]}  # alike in the first layer, at a right angle in the second
    frame = tuned_cosines.alignments([aligned(0, first, second)])
    assert frame.cosine.tolist() == pytest.approx([1, 0, 81 / 82])


@pytest.mark.parametrize(("cosine", "degrees"), [(1, 0), (0, 90), (-1, 180), (0.5, 60), (0.18, 79.63), (1 + 1e-12, 0)])
def test_an_angle_is_in_degrees(cosine, degrees):
    assert tuned_cosines.angle(cosine) == pytest.approx(degrees, abs=0.005)


def test_an_unknown_cosine_has_no_angle():
    assert np.isnan(tuned_cosines.angle(np.nan))


# ------------------------------------------------------------------------------------------------------------ null


@pytest.mark.parametrize("scales", [(1.0, 1.0, 1.0), (1.0, 3.0, 0.2), (10.0, 0.1, 0.1)])
def test_the_null_is_the_spread_of_random_directions_of_the_same_norms(scales):
    sizes, rng = (16, 24, 48), np.random.default_rng(3)
    first, second = drawn(0, sizes, scales), drawn(1, sizes, scales[::-1])
    frame = tuned_cosines.alignments([aligned(0, first, second)])
    cosines = {key[0]: [] for key in KEYS} | {OVERALL: []}
    for _ in range(4000):
        pair = []
        for change in (first, second):
            directions = {key: rng.normal(size=len(own)) for key, own in change.items()}
            pair.append({k: d * np.linalg.norm(change[k]) / np.linalg.norm(d) for k, d in directions.items()})
        for key in KEYS:
            cosines[key[0]].append(of(pair[0][key], pair[1][key]))
        cosines[OVERALL].append(of(whole(pair[0]), whole(pair[1])))
    for layer, found in cosines.items():
        assert in_layer(frame, layer).null == pytest.approx(np.std(found), rel=0.05), layer
        assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))


def test_the_null_of_equal_layers_is_that_of_all_their_scalars():
    sizes = (32, 32, 32)
    unit = [{key: own / np.linalg.norm(own) for key, own in drawn(seed, sizes).items()} for seed in (0, 1)]
    frame = tuned_cosines.alignments([aligned(0, *unit)])
    assert frame.null.to_numpy() == pytest.approx([32**-0.5] * 3 + [96**-0.5])


def test_random_directions_lie_within_the_null_19_times_in_20():
    frame = tuned_cosines.alignments([aligned(seed, drawn(seed), drawn(10 + seed)) for seed in range(3)])
    for layer in ("1", OVERALL):
        own = frame[frame.layer == layer].null
        assert tuned_cosines.null(frame, layer) == pytest.approx(1.96 * own.mean())
    assert tuned_cosines.null(frame) == tuned_cosines.null(frame, OVERALL)
    cosines = tuned_cosines.alignments([aligned(seed, drawn(seed), drawn(5000 + seed)) for seed in range(400)])
    within = cosines[cosines.layer == OVERALL].cosine.abs() < tuned_cosines.null(cosines)
    assert within.mean() == pytest.approx(0.95, abs=0.03)


# --------------------------------------------------------------------------------------------------------- nothing


def test_a_layer_that_did_not_move_has_no_cosine_and_counts_for_nothing():
    first, second = drawn(0), drawn(1)
    first["1/value"] = np.zeros(24)
    frame = tuned_cosines.alignments([aligned(0, first, second)])
    assert np.isnan(in_layer(frame, "1").cosine) and not frame.cosine[[0, 2, 3]].isna().any()
    assert in_layer(frame, OVERALL).cosine == pytest.approx(of(whole(first), whole(second)))


def test_a_change_of_nothing_has_no_cosine_at_all():
    nothing = {key: np.zeros_like(own) for key, own in drawn(0).items()}
    for pair in ((nothing, drawn(1)), (drawn(1), nothing), (nothing, nothing)):
        frame = tuned_cosines.alignments([aligned(0, *pair)])
        assert frame.cosine.isna().all() and np.isnan(in_layer(frame, OVERALL).null)
        assert np.isnan(tuned_cosines.cosine(frame).mean) and tuned_cosines.cosine(frame).n == 0
        assert frame.tuned.isna().all() and np.isnan(tuned_cosines.null(frame))


def test_tuned_biases_have_a_cosine_though_nothing_changed_them():
    nothing = {key: np.zeros_like(own) for key, own in drawn(0).items()}
    frame = tuned_cosines.alignments([aligned(0, nothing, nothing, tuned=[drawn(1), drawn(1)])])
    assert frame.cosine.isna().all() and frame.tuned.to_numpy() == pytest.approx(np.ones(4))
    assert tuned_cosines.cosine(frame, of="tuned").mean == pytest.approx(1) and tuned_cosines.cosine(frame).n == 0


def test_runs_without_two_parts_or_not_stored_are_left_out():
    single = aligned(0, drawn(0))
    other = setting({"value": [0.8]})
    absent = specified("minilm-l6", "sst2", "low", method="merged", seed=9, parts=(("a", 0.5), ("b", 0.5)))
    frame = tuned_cosines.alignments([single, *other, absent])
    assert frame.empty and list(frame.columns) == ["task", "seed", "parts", "layer", "cosine", "null", "tuned"]
    assert np.isnan(tuned_cosines.cosine(frame).mean) and np.isnan(tuned_cosines.cosine(frame, of="tuned").mean)
    assert np.isnan(tuned_cosines.null(frame)) and tuned_cosines.closer(frame, frame) == {}
    failed = specified("minilm-l6", "sst2", "low", method="merged", parts=(("a", 0.5), ("b", 0.5)))
    written(failed, status="failed", reason="the loss is not finite")
    assert tuned_cosines.alignments([failed]).empty


# ------------------------------------------------------------------------------------------------------ over seeds


def test_a_mean_cosine_is_over_seeds_with_students_interval():
    specs = [aligned(seed, drawn(seed), drawn(10 + seed)) for seed in range(3)]
    frame = tuned_cosines.alignments(specs)
    for layer in ("1", OVERALL):
        own = [in_layer(frame[frame.seed == seed], layer).cosine for seed in range(3)]
        assert tuned_cosines.cosine(frame, layer) == pytest.approx(stats.mean(own))
    assert tuned_cosines.cosine(frame).n == 3


def test_other_weights_of_the_same_parts_are_no_further_evidence():
    pairs = [(drawn(seed), drawn(10 + seed)) for seed in range(3)]
    specs = [aligned(seed, *pairs[seed]) for seed in range(3)]
    weighted = [
        aligned(seed, *pairs[seed], parts=((f"part {seed} 0", 0.2), (f"part {seed} 1", 0.8))) for seed in range(3)
    ]
    once, twice = (tuned_cosines.cosine(tuned_cosines.alignments(own)) for own in (specs, specs + weighted))
    assert once == twice and once.n == 3


def test_two_seeds_of_two_tasks_are_four_pairs():
    specs = [
        aligned(
            seed, drawn(seed), drawn(10 + seed), task=task, parts=((f"{task} {seed}", 0.5), (f"{task} {seed + 1}", 0.5))
        )
        for task in ("sst2", "rte")
        for seed in (0, 1)
    ]
    assert tuned_cosines.cosine(tuned_cosines.alignments(specs)).n == 4


def test_every_pair_of_three_parts_has_its_own_cosine():
    changes = [drawn(seed) for seed in range(3)]
    frame = tuned_cosines.alignments([aligned(0, *changes)])
    found = frame[frame.layer == OVERALL].cosine.tolist()
    assert found == pytest.approx([of(whole(changes[i]), whole(changes[j])) for i, j in ((0, 1), (0, 2), (1, 2))])


def test_one_pair_of_parts_counts_once_whichever_task_it_is_evaluated_on():
    specs = []
    for seed in range(3):
        first, second = drawn(seed), drawn(10 + seed)
        parts = ((f"first {seed}", 0.5), (f"second {seed}", 0.5))
        specs += [aligned(seed, first, second, parts=parts, task="rte")]
        specs += [aligned(seed, second, first, parts=parts[::-1], task="sst2")]
    assert tuned_cosines.cosine(tuned_cosines.alignments(specs)).n == 3


def test_a_pair_is_known_by_the_runs_it_is_of():
    parts = (("first", 0.5), ("second", 0.5))
    frame = tuned_cosines.alignments([aligned(3, drawn(0), drawn(1), parts=parts)])
    assert set(frame.parts) == {frozenset({"first", "second"})}
    three = tuned_cosines.alignments([aligned(0, *(drawn(seed) for seed in range(3)))])
    pairs = [{"part 0 0", "part 0 1"}, {"part 0 0", "part 0 2"}, {"part 0 1", "part 0 2"}]
    assert three[three.layer == OVERALL].parts.tolist() == pairs


# ---------------------------------------------------------------------------------------------------------- closer


def cosines(name: str, of_tasks):
    """Pairs whose changes have these cosines, one a first seed, by task; None for a run that is not there."""
    specs = []
    for task, own in of_tasks.items():
        for seed, cosine in enumerate(own):
            if cosine is not None:
                second = {"0/value": [cosine, np.sqrt(1 - cosine**2)]}
                parts = ((f"{name} {task} {seed}", 0.5), (f"{name} {task} {seed + 1}", 0.5))
                specs.append(aligned(seed, {"0/value": [1.0, 0.0]}, second, task=task, parts=parts))
    return tuned_cosines.alignments(specs)


def test_how_much_closer_one_tasks_changes_are_is_paired_by_seed_and_told_by_task():
    kin = {"sst2": [0.8, 0.7, 0.9], "rte": [0.6, 0.7, 0.5]}
    apart = {"sst2": [0.1, 0.3, 0.2], "rte": [0.2, 0.0, 0.1]}
    found = tuned_cosines.closer(cosines("kin", kin), cosines("apart", apart))
    assert list(found) == ["sst2", "rte"]
    for task in kin:
        assert found[task] == pytest.approx(stats.mean(np.subtract(kin[task], apart[task]))) and found[task].n == 3
    assert tuned_cosines.closer(cosines("kin", kin), cosines("apart", dict(reversed(apart.items())))) == found


def test_pairs_without_their_counterpart_do_not_count():
    kin = {"sst2": [0.8, 0.7, None], "rte": [0.6, None, 0.5]}
    apart = {"sst2": [0.1, None, 0.2], "rte": [0.2, 0.0, 0.1]}
    found = tuned_cosines.closer(cosines("kin", kin), cosines("apart", apart))
    assert found["rte"] == pytest.approx(stats.mean([0.4, 0.4])) and found["sst2"].mean == pytest.approx(0.7)
    lone = tuned_cosines.closer(cosines("kin", {"sst2": [0.8]}), cosines("apart", {"rte": [0.1]}))
    assert np.isnan(lone["sst2"].mean)
