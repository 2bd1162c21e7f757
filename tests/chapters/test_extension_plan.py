"""Notebook 04's runs: encoders and tasks, the smaller head, other learning rates, and scores after each epoch."""

import pytest

from beft_lib import models
from beft_lib.chapters import registry
from beft_lib.chapters.bias_selection import plan as bias_selection
from beft_lib.chapters.extension import plan as extension
from beft_lib.chapters.extension.plan import BIAS_HEAD, rate_variant
from beft_lib.chapters.glue_regimes import plan as glue_regimes
from beft_lib.errors import UserError

FIRST, SECOND = "toy-sentiment", "toy-paraphrase"
BOTH = ["tiny-bert", "tiny-roberta"]
TINY = {"encoders": ["tiny-bert"], "source": "bundled", "settings": [FIRST, SECOND], "seeds": [0, 1]}
PAPERS = 0.002  # the toys' learning rate
RATES = [1e-4, 1e-3, 5e-4]
ALONG = {"rates": RATES, "rate_tasks": [FIRST], "epoch_task": FIRST}


def plan(**more) -> extension.Plan:
    return extension.plan(**TINY | more)


def ids(specs) -> set[str]:
    return {spec.run_id for spec in specs}


def having(specs, **fields) -> list:
    return [spec for spec in specs if all(getattr(spec, name) == value for name, value in fields.items())]


# -------------------------------------------------------------------------------------------------------- Table 4


def test_table_4_has_every_encoder_task_method_and_seed():
    made = plan(encoders=BOTH)
    assert {(s.model, s.task, s.method, s.seed) for s in made.table4} == {
        (model, task, method, seed)
        for model in BOTH
        for task in (FIRST, SECOND)
        for method in ("query", "value", "head_only", "all_biases")  # no b_k: the head alone is the same run
        for seed in (0, 1)
    }
    assert len(made.table4) == 32 and {(s.regime, s.n_train, s.head) for s in made.table4} == {("low", 200, None)}
    assert all(s.ranking == (s.method == "all_biases") for s in made.table4) and made.by_rate == {}


def test_b_k_is_run_where_it_is_not_known_to_be_inert(monkeypatch):
    monkeypatch.setattr(models, "key_is_inert", lambda name: name != "tiny-roberta")
    made = plan(encoders=BOTH)
    assert {s.model for s in having(made.specs, method="key")} == {"tiny-roberta"}
    assert len(having(made.table4, method="key")) == len(having(made.bias_head, method="key")) == 4


def test_the_smaller_head_is_for_heads_with_a_hidden_layer():
    assert plan().bias_head == () and [g.variant for g in plan().groups] == [""]
    made = plan(encoders=BOTH)
    assert [g.variant for g in made.groups] == ["", BIAS_HEAD]
    roberta = having(made.table4, model="tiny-roberta")
    assert [s.model_copy(update={"head": "bias"}).model_dump() for s in roberta] == [
        s.model_dump() for s in made.bias_head
    ]
    assert not ids(made.bias_head) & ids(made.table4) and len(made.specs) == 48


def test_seeds_are_by_task_and_else_the_same():
    made = plan(seeds=[0, 1, 2], seeds_of={SECOND: [5]}, encoders=BOTH)
    for specs in (made.table4, made.bias_head):
        assert {s.seed for s in having(specs, task=FIRST)} == {0, 1, 2}
        assert {s.seed for s in having(specs, task=SECOND)} == {5}


def test_parameters_are_by_task():
    made = plan(learning_rates={FIRST: 0.01}, epochs={SECOND: 3}, n_train={SECOND: 48}, n_eval={FIRST: 40})
    (first,) = {(s.learning_rate, s.epochs, s.n_train, s.regime, s.n_eval) for s in having(made.specs, task=FIRST)}
    (second,) = {(s.learning_rate, s.epochs, s.n_train, s.regime, s.n_eval) for s in having(made.specs, task=SECOND)}
    assert first == (0.01, 10, 200, "low", 40) and second == (PAPERS, 3, 48, "custom", None)


def test_epochs_are_the_papers_more_for_larger_encoders():
    tasks = ["sst2", "rte", "cb", "wic"]
    made = plan(encoders=["bert-base", "bert-large", "roberta-base"], source="hub", settings=tasks, seeds=[0])
    epochs = {(s.model, s.task): s.epochs for s in made.specs}
    assert [epochs["bert-base", task] for task in tasks] == [16, 30, 60, 16]
    for model in ("bert-large", "roberta-base"):
        assert [epochs[model, task] for task in tasks] == [30, 30, 60, 30]
    assert {s.epochs for s in plan(encoders=["roberta-base"], source="hub", settings=["mrpc"]).specs} == {
        60
    }  # no other
    given = plan(encoders=["roberta-base"], source="hub", settings=tasks, epochs={"sst2": 2})
    assert {s.epochs for s in having(given.specs, task="sst2")} == {2}


@pytest.mark.parametrize("rates", [{}, {FIRST: 0.004}])
def test_notebooks_share_the_runs_of_one_setting(rates):
    made = plan(learning_rates=rates, n_eval={FIRST: 50})
    own = {"seeds": [0, 1], "learning_rates": rates, "n_eval": {FIRST: 50}}
    glue = glue_regimes.plan(model="tiny-bert", source="bundled", settings={"low": [FIRST]}, **own)
    assert ids(glue.compared) == ids(having(made.table4, task=FIRST))
    first = bias_selection.plan(model="tiny-bert", task=FIRST, source="bundled", n_train=48, seeds=[0, 1])
    made = plan(n_train={FIRST: 48}, settings=[FIRST])
    assert ids(made.specs) == {s.run_id for s in first.compared if s.method != "none"}


def test_every_run_is_asked_for_once():
    made = plan(encoders=BOTH, **ALONG)
    assert len(ids(made.specs)) == len(made.specs) == len(made.compared)


# ---------------------------------------------------------------------------------------------------------- rates


def test_b_q_and_the_head_alone_are_contrasted_at_the_highest_and_lowest_rate_only():
    made = plan(rates=RATES, rate_tasks=[FIRST])
    assert list(made.by_rate) == [1e-3, 5e-4, 1e-4]
    assert [g.variant for g in made.groups] == ["", *map(rate_variant, made.by_rate)]
    for rate, specs in made.by_rate.items():
        methods = {"value", "all_biases"} | (set() if rate == 5e-4 else {"query", "head_only"})
        assert {(s.model, s.task, s.method, s.seed) for s in specs} == {
            ("tiny-bert", FIRST, method, seed) for method in methods for seed in (0, 1)
        }
        assert {s.learning_rate for s in specs} == {rate} and len(specs) == 2 * len(methods)
        assert all(s.ranking == (s.method == "all_biases") for s in specs)


def test_only_the_first_encoder_has_other_rates():
    made = plan(encoders=BOTH, rates=RATES, rate_tasks=[FIRST, SECOND])
    assert {s.model for specs in made.by_rate.values() for s in specs} == {"tiny-bert"}
    assert {s.task for specs in made.by_rate.values() for s in specs} == {FIRST, SECOND}


@pytest.mark.parametrize("own", [1e-3, 5e-4, 1e-4])
def test_a_tasks_own_rate_is_table_4s(own):
    made = plan(rates=RATES, rate_tasks=[FIRST], learning_rates={FIRST: own})
    assert set(made.by_rate) == set(RATES) - {own}
    assert {s.learning_rate for s in having(made.table4, task=FIRST)} == {own}


def test_a_rate_is_left_out_for_the_task_whose_own_it_is():
    made = plan(rates=RATES, rate_tasks=[FIRST, SECOND], learning_rates={FIRST: 1e-3})
    assert {s.task for s in made.by_rate[1e-3]} == {SECOND}
    assert {s.task for s in made.by_rate[1e-4]} == {FIRST, SECOND}


def test_the_papers_rate_is_a_tasks_own_unless_another_is_given():
    assert set(plan(rates=[PAPERS, 1e-4], rate_tasks=[FIRST]).by_rate) == {1e-4}
    assert set(plan(rates=[PAPERS, 1e-4], rate_tasks=[FIRST], learning_rates={FIRST: 0.01}).by_rate) == {PAPERS, 1e-4}


def test_rates_repeated_ask_for_nothing_more():
    once, twice = plan(rates=RATES, rate_tasks=[FIRST]), plan(rates=RATES * 2, rate_tasks=[FIRST] * 2)
    assert once == twice


def test_a_rate_has_the_seeds_of_its_task():
    made = plan(rates=RATES, rate_tasks=[FIRST], seeds_of={FIRST: [7]})
    assert {s.seed for specs in made.by_rate.values() for s in specs} == {7}


# --------------------------------------------------------------------------------------------------------- epochs


def test_the_epoch_task_is_scored_after_each_epoch_and_no_other():
    made = plan(encoders=BOTH, **ALONG)
    assert all(s.each_epoch == (s.task == FIRST) for s in made.specs)


def test_every_encoder_runs_the_epoch_task_at_the_lowest_rate_too():
    made = plan(encoders=BOTH, rates=RATES, epoch_task=FIRST)
    assert list(made.by_rate) == [1e-4]
    assert {(s.model, s.task, s.method, s.seed) for s in made.by_rate[1e-4]} == {
        (model, FIRST, method, seed)
        for model in BOTH
        for method in ("value", "query", "all_biases", "head_only")
        for seed in (0, 1)
    }
    own = plan(encoders=BOTH, rates=RATES, epoch_task=FIRST, learning_rates={FIRST: 1e-4})
    assert own.by_rate == {}  # Table 4 is at the lowest rate


def test_fisher_is_followed_in_the_first_encoders_runs_of_table_4():
    made = plan(encoders=BOTH, **ALONG)
    followed = [s for s in made.specs if s.fisher_along]
    assert followed == having(made.table4, model="tiny-bert", task=FIRST, method="all_biases") and len(followed) == 2
    without = plan(encoders=BOTH, fisher_along=False, **ALONG)
    assert not [s for s in without.specs if s.fisher_along]
    assert ids(made.specs) - ids(without.specs) == ids(followed)  # the others are the same runs
    assert not [s for s in plan(encoders=BOTH).specs if s.fisher_along]


def test_the_plan_is_found_by_its_notebook():
    assert registry.plan("04_extension", TINY) == plan()
    assert registry.timings(plan()) == ()


# ------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"encoders": []}, ["encoders: []", "at least one"]),
        ({"encoders": ["tiny-bert", "tiny-bert"]}, ["encoders", "'tiny-bert', 'tiny-bert'", "each once"]),
        ({"encoders": ["tiny-brt"]}, ["model 'tiny-brt'", "did you mean 'tiny-bert'"]),
        ({"settings": []}, ["settings: []", "at least one"]),
        ({"settings": [FIRST, FIRST]}, ["settings", FIRST, "each once"]),
        ({"settings": ["toy"]}, ["task 'toy'", FIRST]),
        ({"source": "bundle"}, ["data source 'bundle'", "bundled", "local:DIR"]),
        ({"seeds": []}, ["seeds: []"]),
        ({"seeds_of": {FIRST: []}}, ["seeds: []"]),
        ({"seeds_of": {FIRST: [1, 1]}}, ["seeds: [1, 1]", "each once"]),
        *(
            ({name: {"sst2": [3]}}, [f"task in {name}", "'sst2'", f"valid: {SECOND}, {FIRST}"])
            for name in ("seeds_of", "learning_rates", "epochs", "n_train", "n_eval")
        ),
        ({"rate_tasks": ["sst2"], "rates": RATES}, ["task in rate_tasks", "'sst2'", FIRST]),
        ({"epoch_task": "sst2", "rates": RATES}, ["task in epoch_task", "'sst2'", FIRST]),
        ({"rate_tasks": [FIRST]}, ["rates: []", "two learning rates", "[0.0001, 0.001]"]),
        ({"epoch_task": FIRST, "rates": [1e-3]}, ["rates: [0.001]", "two learning rates"]),
        ({"rate_tasks": [FIRST], "rates": [1e-3, 1e-3]}, ["rates: [0.001, 0.001]", "two learning rates"]),
        ({"rate_tasks": [FIRST], "rates": [1e-3, -1e-3]}, ["rates: [0.001, -0.001]"]),
        ({"rates": RATES}, ["rates: [0.0001, 0.001, 0.0005]", "rate_tasks or epoch_task", "leave rates out"]),
        ({"learning_rates": {FIRST: 0.0}}, ["learning_rate: 0.0"]),
        ({"n_train": {FIRST: 0}}, ["n_train: 0"]),
        ({"epochs": {FIRST: -1}}, ["epochs: -1"]),
    ],
)
def test_mistakes_are_named_with_what_is_valid(given, said):
    with pytest.raises(UserError) as error:
        plan(**given)
    assert all(text in str(error.value) for text in said), str(error.value)


def test_no_epoch_is_a_mistake_as_in_the_other_notebooks():
    with pytest.raises(UserError, match="epochs: 0"):
        plan(epochs={FIRST: 0})
