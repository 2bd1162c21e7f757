"""How early a ranking is known: constructed runs that change their mind at a known step."""

import numpy as np
import pytest
from constructed import setting, snapshots

from beft_lib import evidence
from beft_lib.evidence import early_choice

SCORES = {"value": [0.80, 0.82, 0.81], "query": [0.70, 0.72, 0.71], "key": [0.60, 0.60, 0.60]}
CHANGES = snapshots("query", "value", "value", "value")  # settled at 10 % of the steps
STAYS = snapshots("value", "value", "value", "value")


def along(trajectory=CHANGES, **more):
    return early_choice.along(evidence.compare(setting(SCORES, trajectory=trajectory, **more)))


def test_a_row_says_what_would_be_chosen_and_what_is_in_the_end():
    frame = along()
    assert tuple(frame.columns) == early_choice.COLUMNS and len(frame) == 3 * 4
    own = frame[frame.seed == 0].set_index("share")
    assert own.chosen.tolist() == ["query", "value", "value", "value"] and set(own.final) == {"value"}
    assert own.agrees.tolist() == [0, 1, 1, 1]


def test_regret_is_that_of_the_mean_scores():
    own = along().query("seed == 0").set_index("share").regret
    assert own.tolist() == pytest.approx([10, 0, 0, 0])


def test_seconds_are_the_share_of_the_steps():
    # 1008 steps in 100 seconds (1000 examples, 16 epochs)
    own = along().query("seed == 0").set_index("share").seconds
    assert own[0.1] == pytest.approx(100 * 100 / 1008) and own[1.0] == pytest.approx(100 * 1000 / 1008)


def test_runs_without_a_trajectory_have_no_rows():
    frame = along(trajectory=())
    assert frame.empty and tuple(frame.columns) == early_choice.COLUMNS


def test_a_term_that_was_not_tuned_alone_has_no_regret():
    specs = setting({"value": [0.8]}, trajectory=CHANGES)
    own = early_choice.along(evidence.compare(specs)).set_index("share").regret
    assert np.isnan(own[0.01]) and own[1.0] == 0


def test_undefined_scores_choose_nothing():
    for snapshot in (nothing := snapshots("query", "value", "value", "value")):
        snapshot.scores["projection"] = dict.fromkeys(("query", "key", "value"))
    frame = along(trajectory=nothing)
    assert frame.chosen.isna().all() and frame.regret.isna().all()


def test_a_run_is_settled_when_its_choice_changes_no_more():
    back = snapshots("value", "query", "value", "value")
    found = early_choice.settled(along(trajectory={0: CHANGES, 1: STAYS, 2: back})).set_index("seed").share
    assert found.to_dict() == {0: 0.1, 1: 0.01, 2: 0.5}


def test_agreement_is_the_percentage_of_runs():
    found = early_choice.agreement(along(trajectory={0: CHANGES, 1: STAYS, 2: CHANGES}), "projection")
    assert list(found) == [0.01, 0.1, 0.5, 1.0]
    assert [e.mean for e in found.values()] == pytest.approx([100 / 3, 100, 100, 100])
    assert (found[0.01].low, found[0.01].high) == (0, 100)  # where percentages end


def test_the_table_has_a_row_a_share():
    table = early_choice.table(along())
    assert table["share of the steps"].tolist() == ["1 %", "10 %", "50 %", "100 %"]
    assert table["steps"].tolist() == ["10 to 10", "100 to 100", "500 to 500", "1000 to 1000"]
    assert table["projection"].str.startswith(("0.0", "100.0")).all() and "magnitude" not in table
    assert table["regret of projection, points"][0].startswith("10.0")
    assert table["seconds (median)"].tolist() == ["1.0", "9.9", "49.6", "99.2"]


def test_the_sentence_says_from_when_on_every_run_agrees():
    said = early_choice.sentence(along(trajectory={0: CHANGES, 1: STAYS, 2: STAYS}), "projection")
    assert said.startswith("From 10 % of the steps on") and "each of 3 runs" in said
    assert "9.9 of 99.2 seconds" in said
