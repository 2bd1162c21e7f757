"""A learning rate chosen on held-out training examples: the rule, and what is said of its use."""

import numpy as np
import pytest
from constructed import searched, specified

from beft_lib.chapters import plans
from beft_lib.chapters.glue_regimes import plan as glue_regimes
from beft_lib.errors import UserError
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


# ------------------------------------------------------------------------------------------------- several seeds


def seeded(curves: dict[int, dict[float, list[float]]], task: str = "sst2", method: str = "all_biases") -> list:
    """A search over several seeds: by seed, the score after every epoch by learning rate."""
    return [s for seed, own in curves.items() for s in searched(task, own, seed=seed, method=method)]


AGREE = {100: {1e-3: [0.6], 2e-3: [0.7]}, 101: {1e-3: [0.5], 2e-3: [0.6]}, 102: {1e-3: [0.7], 2e-3: [0.8]}}
WILD = {100: {1e-3: [0.66], 2e-3: [0.70]}, 101: {1e-3: [0.78], 2e-3: [0.65]}, 102: {1e-3: [0.50], 2e-3: [0.66]}}


def test_the_rate_with_the_highest_mean_over_seeds_is_chosen():
    assert rate_search.choose(seeded(WILD)) == {"sst2": 2e-3}  # 64.7 against 67.0, though one seed has 78
    equal = {100: {1e-3: [0.6], 2e-3: [0.7]}, 101: {1e-3: [0.8], 2e-3: [0.7]}}
    assert rate_search.choose(seeded(equal)) == {"sst2": 1e-3}  # of equals the smaller


def test_a_rate_that_diverges_in_one_seed_is_not_chosen():
    assert rate_search.choose(seeded({100: {1e-3: [0.5], 2e-3: [0.9]}, 101: {1e-3: [0.5], 2e-3: None}})) == {
        "sst2": 1e-3
    }


@pytest.mark.parametrize(("curves", "wanted"), [(AGREE, "stable"), (WILD, "unstable"), ({100: AGREE[100]}, "one seed")])
def test_a_choice_is_stable_if_every_seed_alone_makes_it(curves, wanted):
    assert rate_search.stability(seeded(curves)) == {"sst2": wanted}


def test_an_unstable_choice_is_called_so_and_every_seeds_score_is_shown():
    table = rate_search.table(seeded(WILD), used(2e-3)).set_index("learning rate")
    assert table.loc["0.001", "second half %"] == "64.7 (66.0, 78.0, 50.0)"
    assert table.chosen.tolist() == ["", "yes, unstable"]
    said = rate_search.sentences(seeded(WILD), used(2e-3))
    assert said[-1] == "The choice is unstable for sst2: other seeds of the search choose other rates."
    assert len(rate_search.sentences(seeded(AGREE), used(2e-3))) == 1


def test_every_method_can_have_a_rate_of_its_own():
    specs = searched("sst2", {1e-3: [0.8], 2e-3: [0.7]}, method="value")
    specs += searched("sst2", {1e-3: [0.5], 2e-3: [0.6]}, method="query")
    assert rate_search.choose(specs, rate_search.BOTH) == {"sst2, b_v": 1e-3, "sst2, b_q": 2e-3}


def glue(**more):
    given = {"model": "tiny-bert", "source": "bundled", "settings": {"low": ["toy-sentiment"]}, "seeds": [0, 1]}
    return glue_regimes.plan(**given | {"search": {"toy-sentiment": 2}} | more)


FAIR = {"value": 1e-3, "query": 4e-3, "head_only": 1e-3, "all_biases": 2e-3}


def test_a_fair_search_gives_every_method_the_same_budget():
    methods, seeds = ["value", "query", "head_only", "all_biases"], [100, 101, 102]
    plan = glue(search_methods=methods, search_seeds=seeds, held_out=50)
    tried = [(s.method, s.learning_rate, s.seed) for s in plan.search]
    assert len(set(tried)) == len(tried) == 4 * 3 * 3
    assert {s.n_eval for s in plan.search} == {50} and not any(s.ranking for s in plan.search)


def test_rates_of_their_own_stand_beside_the_common_one():
    usual, fair = glue(), glue(chosen_rates={"toy-sentiment": FAIR})
    assert fair.compared == usual.compared and len(fair.groups) == 2
    (group,) = [g for g in fair.groups if g.variant == plans.CHOSEN]
    assert {(s.method, s.learning_rate) for s in group.specs} == set(FAIR.items())
    assert set(group.specs) <= set(fair.specs) and all(s.ranking for s in group.specs if s.method == "all_biases")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"chosen_rates": {"toy-sentiment": {"value": 1e-3}}}, "no rate for query, head_only, all_biases"),
        ({"chosen_rates": {"sst2": FAIR}}, "chosen_rates"),
        ({"search_methods": ["lora"]}, "lora"),
        ({"search_seeds": [0]}, "search_seeds: 0 is a seed of the runs that are reported"),
        ({"held_out": 1}, "held_out: 1"),
    ],
)
def test_a_search_that_cannot_be_fair_is_refused(given, said):
    with pytest.raises(UserError, match=said):
        glue(**given)
