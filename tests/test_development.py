"""A learning rate chosen on held-out training examples: the rule, and what is said of its use."""

import numpy as np
import pytest
from constructed import searched, specified

from beft_lib.evidence import rate_search
from beft_lib.runs import store


def used(rate, epochs=16):
    return [specified("minilm-l6", "sst2", "low", method="value", learning_rate=rate, epochs=epochs)]


def test_the_plateau_is_the_mean_of_the_second_half_of_the_epochs():
    four, five = searched("sst2", {1e-3: [0.9, 0.5, 0.6, 0.7]}) + searched("rte", {1e-3: [0.9, 0.9, 0.5, 0.6, 0.7]})
    assert rate_search.plateau(store.trusted(four)) == pytest.approx(0.65)
    assert rate_search.plateau(store.trusted(five)) == pytest.approx(0.6)


def test_the_rate_with_the_highest_plateau_is_chosen_not_the_luckiest_epoch():
    specs = searched("sst2", {1e-3: [0.5, 0.99, 0.6, 0.6], 2e-3: [0.5, 0.6, 0.7, 0.7]})
    assert rate_search.choose(specs) == {"sst2": 2e-3}


@pytest.mark.parametrize("order", [1, -1])
def test_the_smaller_rate_of_equals_is_chosen(order):
    specs = searched("sst2", {2e-3: [0.5, 0.7], 1e-3: [0.6, 0.7], 4e-3: [0.5, 0.6]})
    assert rate_search.choose(specs[::order]) == {"sst2": 1e-3}


def test_a_failed_run_is_never_chosen():
    specs = searched("sst2", {1e-3: None, 2e-3: [0.1, 0.1]})
    assert rate_search.plateau(store.trusted(specs[0])) == -np.inf
    assert rate_search.choose(specs) == {"sst2": 2e-3}


def test_every_task_has_its_own_rate():
    specs = searched("sst2", {1e-3: [0.8], 2e-3: [0.7]}) + searched("rte", {1e-3: [0.5], 2e-3: [0.6]})
    assert rate_search.choose(specs) == {"sst2": 1e-3, "rte": 2e-3}


def test_what_was_not_run_is_not_chosen_from():
    specs = searched("sst2", {1e-3: [0.8, 0.8]})
    absent = specified("minilm-l6", "sst2", "low", method="all_biases", learning_rate=4e-3, ranking=False)
    assert rate_search.choose([absent, *specs]) == {"sst2": 1e-3} and rate_search.choose([absent]) == {}


def test_the_table_says_what_was_chosen_and_what_is_used():
    search = searched("sst2", {1e-3: [0.5, 0.8, 0.7, 0.6], 2e-3: [0.5, 0.6, 0.6, 0.6], 4e-3: None})
    table = rate_search.table(search, used(2e-3)).set_index("learning rate")
    assert table.index.tolist() == ["0.001", "0.002", "0.004"]
    assert table["second half %"].tolist() == ["65.0", "60.0", "diverged"]
    assert table["last epoch %"].tolist() == ["60.0", "60.0", "–"]
    assert table["best epoch %"][0:1].item() == "80.0 (epoch 2)"
    assert table.chosen.tolist() == ["yes", "", ""] and table.used.tolist() == ["", "for 16 epochs", ""]


def test_sentences_name_what_is_not_the_rules_choice():
    search = searched("sst2", {1e-3: [0.8, 0.8], 2e-3: [0.6, 0.6]})
    assert rate_search.sentences(search, used(1e-3)) == ["Every searched task uses the rate that the rule chose."]
    (said,) = rate_search.sentences(search, used(2e-3))
    assert "sst2 (0.002 instead of 0.001)" in said
