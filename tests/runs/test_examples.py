"""What a run can be asked besides its scores: development examples, fewer of them, every epoch, scores on the way."""

import numpy as np
import pytest

from beft_lib import importance, runs, tasks
from beft_lib.errors import UserError
from beft_lib.runs import RunSpec, examples, execute

TINY = {"model": "tiny-bert", "task": "toy-sentiment", "source": "bundled", "n_train": 24, "epochs": 2}
RANKED = {"method": "all_biases", "ranking": True, "n_train": 40, "batch_size": 8, "epochs": 4}  # 20 steps


def spec(**more) -> RunSpec:
    return RunSpec(**{**TINY, "method": "value", **more})


def pool() -> tasks.Examples:
    return tasks.load("toy-sentiment", "train", "bundled")


# ------------------------------------------------------------------------------------------------------- evaluation


def test_development_examples_are_no_part_of_any_sample():
    held_out = set()
    for seed in range(5):
        asked = spec(evaluation="development", n_eval=50, seed=seed, n_train=700)
        sample = examples.training_set(pool(), asked)
        (own,) = examples.evaluation_sets(tasks.get("toy-sentiment"), pool(), asked).values()
        assert len(sample.ids) == 700 and len(set(own.ids)) == 50 and not set(sample.ids) & set(own.ids)
        held_out.add(tuple(own.ids))
    assert len(held_out) == 1


def test_development_runs_are_scored_on_the_same_held_out_examples():
    made = [
        spec(evaluation="development", n_eval=30, seed=seed, method=m)
        for seed, m in ((0, "value"), (1, "value"), (0, "query"))
    ]
    results = [runs.run(one) for one in made]
    ids = [runs.predictions(one)["development/ids"].tolist() for one in made]
    assert ids[0] == ids[1] == ids[2] and set(ids[0]) <= set(pool().ids)
    assert {v.split for r in results for v in r.metrics} == {"development"} and results[0].metrics[0].n == 30
    assert results[0].data["train_ids"] == results[2].data["train_ids"] != results[1].data["train_ids"]


def test_development_needs_room_in_the_training_examples():
    available = len(pool())
    with pytest.raises(UserError, match="n_eval"):
        spec(evaluation="development")
    with pytest.raises(UserError, match=f"give at most {available - 30}"):
        examples.training_set(pool(), spec(evaluation="development", n_eval=30, n_train=available - 29))
    assert len(
        examples.training_set(pool(), spec(evaluation="development", n_eval=30, n_train=available - 30)).ids
    ) == (available - 30)


def test_fewer_evaluation_examples_are_the_same_in_every_run():
    made = [spec(n_eval=20, seed=0), spec(n_eval=20, seed=1, method="query", n_train=16)]
    values = [runs.run(one).metrics[0] for one in made]
    ids = [runs.predictions(one)["validation/ids"].tolist() for one in made]
    everything = tasks.load("toy-sentiment", "validation", "bundled").ids
    assert ids[0] == ids[1] and len(set(ids[0])) == 20 == values[0].n
    assert ids[0] == [i for i in everything if i in set(ids[0])]  # in their order


def test_more_evaluation_examples_than_there_are_is_all_of_them():
    sets = examples.evaluation_sets(tasks.get("toy-sentiment"), pool(), spec(n_eval=10**6))
    assert list(sets["validation"].ids) == list(tasks.load("toy-sentiment", "validation", "bundled").ids)


def test_the_curve_has_an_entry_an_epoch_and_ends_with_the_run():
    result = runs.run(spec(each_epoch=True, epochs=3))
    assert [epoch.epoch for epoch in result.curve] == [1, 2, 3] and result.curve[-1].metrics == result.metrics
    plain = runs.run(spec(epochs=3))
    assert plain.curve == [] and plain.metrics == result.metrics and plain.losses == result.losses


# ------------------------------------------------------------------------------------------------------- on the way


def means(result: runs.RunResult) -> dict[str, dict[str, float]]:
    """Final scores by approach and term, averaged over layers."""
    found = {}
    for entry in result.importance:
        found.setdefault(entry.approach, {})[entry.term] = np.mean([np.nan if s is None else s for s in entry.scores])
    return found


def test_a_ranking_run_records_its_scores_on_the_way():
    result = runs.run(spec(**RANKED))
    assert [s.share for s in result.trajectory] == list(execute.SHARES) == [0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0]
    assert [s.step for s in result.trajectory] == [1, 1, 1, 2, 5, 10, 20] and result.cost["steps"] == 20
    last, final = result.trajectory[-1].scores, means(result)
    assert set(last) == set(importance.APPROACHES) - {"fisher", "fisher_batch"}
    for approach, terms in last.items():
        assert terms == pytest.approx(final[approach], rel=1e-4, nan_ok=True)
    assert runs.run(spec()).trajectory == []


def test_fisher_not_followed_is_as_if_it_were_left_out():
    plain, without = spec(**RANKED), spec(**RANKED, fisher_along=False)
    assert without == plain and without.run_id == plain.run_id and without.fisher_along is None
    assert spec(**RANKED, fisher_along=True).run_id != plain.run_id
    assert spec(fisher_along=False) == spec()  # a run that does not rank may say so


def test_a_run_stopped_early_is_the_run_at_that_step():
    whole = runs.run(spec(**RANKED))
    for step in (2, 10):
        stopped = runs.run(spec(**RANKED, steps=step))
        assert stopped.cost["steps"] == step
        snapshot = next(s for s in whole.trajectory if s.step == step)
        final = means(stopped)
        for approach, terms in snapshot.scores.items():
            assert terms == pytest.approx(final[approach], rel=1e-4)


def test_looking_does_not_change_what_is_learnt():
    made = [spec(**RANKED), spec(**RANKED | {"ranking": False})]
    results = [runs.run(one) for one in made]
    ranked, plain = (runs.delta(one) for one in made)
    assert results[0].metrics == results[1].metrics and all((ranked[key] == plain[key]).all() for key in plain)


def test_no_more_steps_than_there_are():
    with pytest.raises(UserError, match="steps: 21 .* 20"):
        spec(**RANKED, steps=21)
