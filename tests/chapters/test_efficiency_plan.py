"""Notebook 03's runs: Table 2 at two choices of learning rates, what is merged for Table 3, and what is timed."""

import pytest

from beft_lib.chapters import registry
from beft_lib.chapters.bias_selection import plan as bias_selection
from beft_lib.chapters.efficiency import plan as efficiency
from beft_lib.chapters.efficiency.plan import APART, BASE, KIN, MERGED, METHODS, OTHER, OWN, OWN_HEADS, TASK_HEADS
from beft_lib.chapters.glue_regimes import plan as glue_regimes
from beft_lib.chapters.plans import CHOSEN, PAPER
from beft_lib.errors import UserError

FIRST, SECOND = "toy-sentiment", "toy-paraphrase"  # two labels each
TINY = {"model": "tiny-bert", "source": "bundled", "task": FIRST, "other": SECOND, "seeds": [0, 1, 2]}
PAPERS = dict.fromkeys(METHODS, 0.002) | {"full": 1e-5}
DIFFERENT = {"value": 0.01, "full": 1e-4}
RATES = PAPERS | DIFFERENT


def plan(**more) -> efficiency.Plan:
    return efficiency.plan(**TINY | more)


def ids(specs) -> set[str]:
    return {spec.run_id for spec in specs}


def of(group, task: str, arm: str) -> list:
    return [spec for spec, own in group.arms.items() if (spec.task, own) == (task, arm)]


# -------------------------------------------------------------------------------------------------------- Table 2


def test_table_2_compares_every_method_over_the_seeds():
    made = plan()
    assert {(s.method, s.seed) for s in made.paper} == {(m, s) for m in METHODS for s in (0, 1, 2)}
    assert len(made.paper) == 21 and {(s.task, s.regime, s.n_train) for s in made.paper} == {(FIRST, "low", 200)}
    assert all(s.ranking == (s.method == "all_biases") for s in made.paper)
    assert {s.learning_rate for s in made.paper if s.method != "full"} == {0.002}
    assert {s.learning_rate for s in made.paper if s.method == "full"} == {1e-5}


def test_without_chosen_rates_there_is_one_table_2():
    made = plan()
    assert made.chosen == () and [g.variant for g in made.groups] == [PAPER, TASK_HEADS, OWN_HEADS, KIN, APART]
    assert [g.variant for g in plan(chosen_rates=RATES).groups] == [PAPER, CHOSEN, TASK_HEADS, OWN_HEADS, KIN, APART]


def test_chosen_rates_are_by_method():
    made = plan(chosen_rates=RATES)
    assert {(s.method, s.seed): s.learning_rate for s in made.chosen} == {
        (method, seed): RATES[method] for method in METHODS for seed in (0, 1, 2)
    }
    different = ids(made.chosen) - ids(made.paper)
    assert different == ids(s for s in made.chosen if s.method in DIFFERENT) and len(different) == 6


@pytest.mark.parametrize("missing", [["full"], ["head_only", "random"], list(METHODS[1:])])
def test_every_method_has_a_chosen_rate_or_none_has(missing):
    with pytest.raises(UserError) as error:
        plan(chosen_rates={method: rate for method, rate in RATES.items() if method not in missing})
    named = ", ".join(method for method in METHODS if method in missing)
    assert f"chosen_rates: no rate for {named};" in str(error.value) and "or none" in str(error.value)
    assert plan(chosen_rates={}) == plan(chosen_rates=None) == plan()


def test_a_chosen_rate_that_is_the_papers_is_not_run_again():
    made = plan(chosen_rates=PAPERS)
    assert ids(made.chosen) == ids(made.paper) and ids(made.specs) == ids(plan().specs)


def test_every_run_is_asked_for_once():
    made = plan(chosen_rates=RATES, other_rate=0.01, search=2, search_rates={"value": [0.001, 0.002]})
    assert len(ids(made.specs)) == len(made.specs) == len(set(made.specs))
    parts = [*made.search, *made.paper, *made.chosen, *made.tuned[FIRST], *made.tuned[SECOND]]
    assert set(made.specs) == {*parts, *made.compared} and {*made.kin, *made.apart, *made.across} <= set(made.compared)
    assert set(made.compared) == {spec for group in made.groups for spec in group.specs}


@pytest.mark.parametrize(("seeds", "count"), [([0], 7 + 1 + 16 - 2), ([0, 1, 2], 21 + 3 + 48 - 6 + 4 + 4)])
def test_how_many_runs_there_are(seeds, count):
    # Table 2; b_v on the other task; 4 arms of 2 tasks with 2 choices of heads, of which `own` is one run; kin; apart
    assert len(plan(seeds=seeds).specs) == count


def test_notebooks_share_the_runs_of_one_setting():
    shared = {"value", "all_biases", "head_only"}
    made = plan(n_eval={FIRST: 50})
    glue = glue_regimes.plan(
        model="tiny-bert", source="bundled", settings={"low": [FIRST]}, seeds=[0, 1, 2], n_eval={FIRST: 50}
    )
    wanted = {s.run_id for s in glue.compared if s.method in shared}
    assert wanted == {s.run_id for s in made.paper if s.method in shared} and len(wanted) == 9
    first = bias_selection.plan(model="tiny-bert", task=FIRST, source="bundled", n_train=48, epochs=2, seeds=[0, 1])
    made = plan(n_train={FIRST: 48}, epochs={FIRST: 2}, seeds=[0, 1])
    assert {s.run_id for s in first.compared if s.method in shared} <= ids(made.paper)


def test_parameters_are_by_task():
    made = plan(n_train={FIRST: 48}, epochs={SECOND: 3}, n_eval={SECOND: 40}, other_rate=0.03)
    assert {(s.n_train, s.regime, s.epochs, s.n_eval) for s in made.paper} == {(48, "custom", 10, None)}
    (other,) = {(s.n_train, s.regime, s.epochs, s.n_eval, s.learning_rate) for s in made.tuned[SECOND]}
    assert other == (200, "low", 3, 40, 0.03)


def test_a_search_is_scored_on_held_out_training_examples():
    rates = {"value": [0.001, 0.002], "full": [1e-5]}
    made = plan(search=5, search_rates=rates, n_eval={FIRST: 50})
    assert [(s.method, s.learning_rate) for s in made.search] == [(m, r) for m in rates for r in rates[m]]
    for spec in made.search:
        assert (spec.task, spec.epochs, spec.each_epoch, spec.ranking) == (FIRST, 5, True, False)
        assert (spec.evaluation, spec.n_eval) == ("development", efficiency.HELD_OUT)
        assert spec.seed not in TINY["seeds"]
    assert not set(made.search) & set(made.compared)


# -------------------------------------------------------------------------------------------------------- Table 3


def test_b_v_is_tuned_on_both_tasks_at_the_rate_of_table_2():
    made = plan(chosen_rates=RATES, other_rate=0.03)
    assert list(made.tuned) == [FIRST, SECOND]
    for task, rate in ((FIRST, 0.01), (SECOND, 0.03)):
        assert {(s.task, s.method, s.learning_rate) for s in made.tuned[task]} == {(task, "value", rate)}
        assert [s.seed for s in made.tuned[task]] == [0, 1, 2]
    assert set(made.tuned[FIRST]) <= set(made.chosen)
    assert set(plan().tuned[FIRST]) <= set(plan().paper)
    assert {s.learning_rate for s in plan(chosen_rates=PAPERS | {"full": 1e-4}).tuned[FIRST]} == {0.002}


def test_merged_runs_refer_to_the_tuned_ones_of_their_seed():
    made = plan(chosen_rates=RATES, other_rate=0.03, weights=[0.25])
    for group in made.merged:
        for spec in group.specs:
            other = SECOND if spec.task == FIRST else FIRST
            own, theirs = made.tuned[spec.task][spec.seed].run_id, made.tuned[other][spec.seed].run_id
            assert spec.method == "merged" and [run for run, _ in spec.parts] in ([], [own, theirs])


def test_weights_complement_each_other_and_name_the_arm():
    group = plan(weights=[0.7, 0.25]).merged[0]
    named = {0.0: OTHER, 0.25: "own 0.25", 0.5: MERGED, 0.7: "own 0.7", 1.0: OWN}
    for task in (FIRST, SECOND):
        for share, arm in named.items():
            found = of(group, task, arm)
            assert [spec.seed for spec in found] == [0, 1, 2]
            assert all([weight for _, weight in spec.parts] == [share, 1 - share] for spec in found)
        assert all(spec.parts == () for spec in of(group, task, BASE)) and len(of(group, task, BASE)) == 3
    assert len(group.specs) == 2 * 3 * 6 and set(group.arms) == set(group.specs)


@pytest.mark.parametrize("weights", [[], [0.5], [1, 0]])
def test_the_arms_of_table_3_are_there_whatever_the_weights(weights):
    for group in plan(weights=weights).merged:
        assert set(group.arms.values()) == {OWN, OTHER, MERGED, BASE}


def test_each_arm_has_one_run_a_seed():
    for group in plan(weights=[0.1, 0.9]).merged:
        found = [(spec.task, own, spec.seed) for spec, own in group.arms.items()]
        assert len(set(found)) == len(found)


def test_the_head_is_the_evaluated_tasks_own():
    made = plan()
    for spec in made.merged[0].specs:
        assert spec.head_of == (made.tuned[spec.task][spec.seed].run_id,)


def test_or_the_heads_come_with_the_biases():
    made = plan(weights=[0.25])
    group = made.merged[1]
    assert group.variant == OWN_HEADS and set(group.arms.values()) == {OWN, OTHER, MERGED, BASE}  # no other shares
    for task, other in ((FIRST, SECOND), (SECOND, FIRST)):
        own, theirs = ([s.run_id for s in made.tuned[name]] for name in (task, other))
        assert [s.head_of for s in of(group, task, OWN)] == [(run,) for run in own]
        assert [s.head_of for s in of(group, task, OTHER)] == [(run,) for run in theirs]
        assert [s.head_of for s in of(group, task, MERGED)] == list(zip(own, theirs))
        assert {s.head_of for s in of(group, task, BASE)} == {None}
        assert of(made.merged[0], task, OWN) == of(group, task, OWN)  # with its own b_v the head is the same


@pytest.mark.parametrize("tasks", [(FIRST, "toy-entailment"), ("toy-entailment", FIRST)])
def test_heads_of_different_sizes_are_not_averaged(tasks):
    made = plan(task=tasks[0], other=tasks[1])
    assert [group.variant for group in made.merged] == [TASK_HEADS]
    assert {spec.task for spec in made.merged[0].specs} == set(tasks)


def test_kin_are_two_seeds_of_one_task():
    made = plan()
    for task in (FIRST, SECOND):
        own = [spec.run_id for spec in made.tuned[task]]
        found = [spec for spec in made.kin if spec.task == task]
        assert [[run for run, _ in spec.parts] for spec in found] == [own[:2], own[1:]]
        assert all([weight for _, weight in spec.parts] == [0.5, 0.5] for spec in found)
        assert [(spec.seed, spec.head_of) for spec in found] == [(0, (own[0],)), (1, (own[1],))]
    assert plan(seeds=[3]).kin == ()


def test_apart_are_two_seeds_of_two_tasks():
    made = plan(seeds=[4, 0, 2], chosen_rates=RATES, other_rate=0.03)
    for task, other in ((FIRST, SECOND), (SECOND, FIRST)):
        own, theirs = ([spec.run_id for spec in made.tuned[name]] for name in (task, other))
        found = [spec for spec in made.apart if spec.task == task]
        assert [spec.parts for spec in found] == [((own[i], 0.5), (theirs[i + 1], 0.5)) for i in (0, 1)]
        assert [(spec.seed, spec.head_of) for spec in found] == [(4, (own[0],)), (0, (own[1],))]
    assert [(s.task, s.seed, s.head_of) for s in made.apart] == [(s.task, s.seed, s.head_of) for s in made.kin]
    assert not set(made.apart) & set(made.kin) and plan(seeds=[3]).apart == ()


def test_across_are_both_tasks_averages_of_one_seed():
    made = plan(weights=[0.25])
    assert list(made.across) == of(made.merged[0], FIRST, MERGED) and [s.seed for s in made.across] == [0, 1, 2]
    for spec in made.across:
        assert spec.parts == tuple((made.tuned[task][spec.seed].run_id, 0.5) for task in (FIRST, SECOND))


def test_pairs_of_seeds_are_compared_where_there_are_any():
    made = plan()
    by_variant = {group.variant: list(group.specs) for group in made.groups}
    assert by_variant[KIN] == list(made.kin) and by_variant[APART] == list(made.apart)
    assert [g.variant for g in plan(seeds=[3]).groups] == [PAPER, TASK_HEADS, OWN_HEADS]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0, 0.25, 0.1 + 0.2, 1 / 3, 1e-7, 0.499999999999])
def test_a_mixtures_name_says_its_share(share):
    assert efficiency.share_of(efficiency.mixture(share)) == share


def test_shares_that_differ_a_little_are_two_mixtures():
    shares = [0.3, 0.1 + 0.2, 0.30000001]
    assert len({efficiency.mixture(share) for share in shares}) == 3
    arms = set(plan(weights=shares).merged[0].arms.values())
    assert {efficiency.share_of(name) for name in arms} == {None, 0.0, 0.5, 1.0, *shares}


@pytest.mark.parametrize("name", [BASE, "value", "head_only", "owner"])
def test_other_arms_have_no_share(name):
    assert efficiency.share_of(name) is None


# --------------------------------------------------------------------------------------------------------- timing


def test_every_method_is_timed_over_one_epoch_of_the_first_seed():
    made = plan(seeds=[4, 1], n_train={FIRST: 64}, repeats=5)
    assert made.timings == registry.timings(made) == (made.timing,) and made.timing.repeats == 5
    assert [s.method for s in made.timing.runs] == list(METHODS)
    assert {(s.task, s.seed, s.epochs, s.n_train) for s in made.timing.runs} == {(FIRST, 4, 1, 64)}
    assert {(s.n_train, s.regime) for s in plan(timed_examples=32).timing.runs} == {(32, "custom")}
    assert {(s.n_train, s.regime) for s in plan(timed_examples=None).timing.runs} == {(200, "low")}


def test_a_timing_is_named_by_its_runs_and_turns():
    names = [
        plan(**more).timing.timing_id
        for more in ({}, {"repeats": 4}, {"timed_examples": 32}, {"task": SECOND, "other": FIRST})
    ]
    assert len(set(names)) == 4 and plan(chosen_rates=RATES, weights=[0.3]).timing.timing_id == names[0]


def test_the_plan_is_found_by_its_notebook():
    assert registry.plan("03_efficiency", TINY) == plan()


# ------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": []}, ["seeds: []", "[0]"]),
        ({"seeds": [0, 1, 0]}, ["seeds: [0, 1, 0]", "each once"]),
        ({"task": "toy-sentimant"}, ["'toy-sentimant'", "did you mean 'toy-sentiment'"]),
        ({"other": "sst3"}, ["'sst3'", "valid: ", "sst2"]),
        ({"model": "tiny"}, ["model 'tiny'", "tiny-bert"]),
        ({"source": "hub"}, [FIRST, "'hub'", "valid: bundled"]),
        ({"other": FIRST}, ["other", FIRST, "two different tasks"]),
        ({"other": "toy-similarity"}, ["toy-similarity", "regression", "two classification tasks"]),
        ({"epochs": {"sst2": 3}}, ["task in epochs", "'sst2'", f"valid: {SECOND}, {FIRST}"]),
        ({"n_train": {"sst2": 3}}, ["task in n_train", "'sst2'", f"valid: {SECOND}, {FIRST}"]),
        ({"n_eval": {"sst2": 3}}, ["task in n_eval", "'sst2'", f"valid: {SECOND}, {FIRST}"]),
        ({"chosen_rates": {"values": 0.1}}, ["method in chosen_rates", "'values'", "value", "head_only"]),
        ({"chosen_rates": {"query": 0.1}}, ["method in chosen_rates", "'query'"]),  # none of Table 2
        ({"search": 2, "search_rates": {"b_v": [0.1]}}, ["method in search_rates", "'b_v'", "value"]),
        ({"search": 2}, ["search: 2", "both"]),
        ({"search_rates": {"value": [0.1]}}, ["search: 0", "both"]),
        ({"search": -1, "search_rates": {"value": [0.1]}}, ["epochs: -1"]),
        ({"weights": [0.5, 1.5]}, ["weights", "1.5", "between 0 and 1"]),
        ({"weights": [-0.1]}, ["weights", "-0.1", "[0.0, 0.5, 1.0]"]),
        ({"weights": [float("nan")]}, ["weights", "nan"]),
        ({"chosen_rates": {"value": 0.01}}, ["chosen_rates: no rate for random, all_biases, full", "or none"]),
        ({"chosen_rates": PAPERS | {"value": 0.0}}, ["learning_rate: 0.0"]),
        ({"other_rate": -1.0}, ["learning_rate: -1.0"]),
        ({"epochs": {FIRST: 0}}, ["epochs: 0"]),
        ({"n_eval": {SECOND: 1}}, ["n_eval: 1"]),
    ],
)
def test_mistakes_are_named_with_what_is_valid(given, said):
    with pytest.raises(UserError) as error:
        plan(**given)
    assert all(text in str(error.value) for text in said), str(error.value)


@pytest.mark.parametrize("repeats", [0, -1])
def test_a_timing_has_a_turn_at_least(repeats):
    with pytest.raises(UserError, match=f"repeats: {repeats}; give at least one"):
        plan(repeats=repeats)
    assert plan(repeats=1).timing.repeats == 1


def test_no_example_is_nothing_to_time():
    with pytest.raises(UserError, match="n_train: 0"):
        plan(timed_examples=0)


def test_a_search_has_a_rate_at_least():
    for search in (0, 2):
        with pytest.raises(UserError, match=r"search_rates: full: \[\] names no learning rate"):
            plan(search=search, search_rates={"value": [0.1], "full": []})
