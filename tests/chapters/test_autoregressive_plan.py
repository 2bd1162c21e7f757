"""Notebook 05's runs: Table 5, a second table at chosen rates, the search that chooses them, and what is timed."""

import pytest

from beft_lib import tasks
from beft_lib.chapters import registry
from beft_lib.chapters.autoregressive import plan as autoregressive
from beft_lib.chapters.autoregressive.plan import CHOSEN, METHODS, PAPER, TRAINED
from beft_lib.errors import UserError
from beft_lib.report import profiles
from beft_lib.runs import RunSpec
from beft_lib.tuning import methods

FIRST, SECOND, THIRD = "toy-sentiment-prompt", "toy-causes", "toy-reading"
TINY = {"model": "tiny-opt", "source": "bundled", "settings": {FIRST: {}, SECOND: {}, THIRD: {}}, "seeds": [0, 1]}
PROMPTS = [name for name in tasks.names() if tasks.get(name).prompts]
RATES = {FIRST: {"lora": 0.0005, "full": 1e-4}}
SEARCH = {"value": [0.001, 0.002], "full": [1e-5]}


def plan(**more) -> autoregressive.Plan:
    return autoregressive.plan(**TINY | more)


def ids(specs) -> set[str]:
    return {spec.run_id for spec in specs}


def having(specs, **fields) -> list:
    return [spec for spec in specs if all(getattr(spec, name) == value for name, value in fields.items())]


def triples(specs) -> list[tuple]:
    return [(spec.task, spec.method, spec.seed) for spec in specs]


# -------------------------------------------------------------------------------------------------------- Table 5


def test_table_5_has_every_task_method_and_seed_once_and_zero_shot_one_run_a_task():
    made = plan()
    seeds = {method: (0, 1) for method in METHODS} | {"zero_shot": (0,)}
    wanted = [(task, method, seed) for task in (FIRST, SECOND, THIRD) for method in METHODS for seed in seeds[method]]
    assert triples(made.paper) == wanted and ids(made.specs) == ids(made.paper) and len(made.specs) == 51
    assert {(s.model, s.regime, s.n_train, s.ranking) for s in made.paper} == {("tiny-opt", "low", 200, False)}
    assert made.search == made.chosen == made.timings == () and [g.variant for g in made.groups] == [PAPER]


@pytest.mark.parametrize("seeds", [[7], [4, 0, 2]])
def test_zero_shot_is_run_once_whatever_the_seeds(seeds):
    made = plan(seeds=seeds)
    assert [s.seed for s in having(made.specs, task=FIRST, method="zero_shot")] == seeds[:1]
    assert [s.seed for s in having(made.specs, task=FIRST, method="in_context")] == seeds


def test_only_the_methods_that_are_compared_are_run():
    made = plan(compared=["zero_shot", "value"], seeds=[0])
    assert triples(made.paper)[:2] == [(FIRST, "zero_shot", 0), (FIRST, "value", 0)] and len(made.paper) == 6


def test_a_task_has_the_first_so_many_seeds():
    made = plan(seeds=[4, 0, 2], settings={FIRST: {"seeds": 2}, SECOND: {"seeds": 1}, THIRD: {}}, chosen_rates=RATES)
    for specs in (made.paper, made.chosen):
        assert [s.seed for s in having(specs, task=FIRST, method="value")] == [4, 0]
    seeds = {task: [s.seed for s in having(made.paper, task=task, method="value")] for task in (SECOND, THIRD)}
    assert seeds == {SECOND: [4], THIRD: [4, 0, 2]}


def test_sizes_are_by_task_and_else_the_papers():
    made = plan(settings={FIRST: {"n_train": 48, "epochs": 2}, SECOND: {"n_eval": 30}, THIRD: {}})
    (first,), (second,), (third,) = (
        {(s.n_train, s.regime, s.epochs, s.n_eval) for s in having(made.specs, task=task)}
        for task in (FIRST, SECOND, THIRD)
    )
    assert first == (48, "custom", 2, 1000) and second == (200, "low", 3, 30) and third == (200, "low", 3, 1000)


def test_demonstrations_are_of_in_context_learning_alone():
    for how in ("fresh", "fixed"):
        made = plan(settings={FIRST: {"shots": 6}, SECOND: {}}, demonstrations=how)
        shown = {(s.task, s.method, s.shots, s.demonstrations) for s in made.specs if s.shots or s.demonstrations}
        assert shown == {(FIRST, "in_context", 6, how), (SECOND, "in_context", 32, how)}
    other = plan(settings={FIRST: {"shots": 7}, SECOND: {}})
    assert {s.method for s in made.specs if s.run_id not in ids(other.specs)} == {"in_context"}


def test_precision_and_micro_batches_reach_every_run_and_change_no_other_setting():
    more = {"chosen_rates": RATES, "search_rates": SEARCH, "timed": {SECOND: 1}}
    made, plain = plan(precision="bf16", micro_batch=2, **more), plan(**more)
    runs = [*made.specs, *made.timing.runs]
    assert {(s.precision, s.micro_batch) for s in runs} == {("bf16", 2)}
    back = [s.model_copy(update={"precision": "fp32", "micro_batch": None}).model_dump() for s in runs]
    assert back == [s.model_dump() for s in [*plain.specs, *plain.timing.runs]]


@pytest.mark.parametrize("name", profiles.names())
def test_every_profile_plans_each_method_task_and_seed_once(name):
    cells = [cell for cell in profiles.load(name).cells if cell.notebook == "05_autoregressive"]
    assert cells
    for own in (cell.parameters for cell in cells):
        made = registry.plan("05_autoregressive", own)
        assert made == autoregressive.plan(**own) and {s.model for s in made.specs} == {own["model"]}
        for specs, of in ((made.paper, own["settings"]), (made.chosen, own["chosen_rates"])):
            assert triples(specs) == [
                (task, method, seed)
                for task in of
                for method in own["compared"]
                for seed in own["seeds"][: 1 if method == "zero_shot" else own["settings"][task].get("seeds")]
            ]
        assert len(ids(made.specs)) == len(made.specs)


@pytest.mark.parametrize("name", profiles.names())
def test_the_runs_of_every_profile_fit_into_their_data(name):
    """A search holds examples out of a training split that may be small; demonstrations come from the rest."""
    for cell in profiles.load(name).cells:
        if cell.notebook == "05_autoregressive":
            made = registry.plan(cell.notebook, cell.parameters)
            for own in [*made.specs, *(run for timing in made.timings for run in timing.runs)]:
                task = tasks.get(own.task)
                available = task.hub.train if task.hub else tasks.sizes(task, "bundled")[task.train]
                own.check_size(available or own.n_train)  # of a variant with short passages it is not known
                assert own.method != "in_context" or own.shots <= own.n_train


def test_a_matrix_of_models_is_two_plans_of_the_same_runs():
    cells = [cell for cell in profiles.load("smoke").cells if cell.notebook == "05_autoregressive"]
    assert [cell.name for cell in cells] == ["05_autoregressive__tiny-opt", "05_autoregressive__tiny-llama"]
    first, second = (registry.plan(cell.notebook, cell.parameters) for cell in cells)
    assert {s.model for s in first.specs} == {"tiny-opt"} and {s.model for s in second.specs} == {"tiny-llama"}
    assert triples(first.specs) == triples(second.specs) and not ids(first.specs) & ids(second.specs)


# --------------------------------------------------------------------------------------------------- chosen rates


def test_chosen_rates_are_by_task_and_method_and_else_the_papers():
    made = plan(chosen_rates=RATES | {SECOND: {"value": 0.02}})
    assert [g.variant for g in made.groups] == [PAPER, CHOSEN] and [g.specs for g in made.groups][1] == made.chosen
    for task, rates in ((FIRST, RATES[FIRST]), (SECOND, {"value": 0.02})):
        paper, chosen = (
            {s.method: s.learning_rate for s in having(own, task=task)} for own in (made.paper, made.chosen)
        )
        assert chosen == paper | rates
    assert not having(made.chosen, task=THIRD)


def test_a_chosen_rate_that_is_the_papers_is_not_run_again():
    made = plan(chosen_rates=RATES)
    different = [s for s in made.chosen if s.method in RATES[FIRST]]
    assert ids(made.chosen) - ids(made.paper) == ids(different) and len(different) == 4
    for rates in ({FIRST: {}}, {FIRST: {"value": 0.002, "full": 1e-5}}):
        same = plan(chosen_rates=rates)
        assert ids(same.specs) == ids(plan().specs) and ids(same.chosen) == ids(having(same.paper, task=FIRST))


def test_a_search_is_scored_on_held_out_training_examples_of_the_tasks_with_chosen_rates():
    made = plan(
        settings={FIRST: {"epochs": 2, "n_eval": 30}, SECOND: {}}, chosen_rates={FIRST: {}}, search_rates=SEARCH
    )
    assert [(s.method, s.learning_rate) for s in made.search] == [("value", 0.001), ("value", 0.002), ("full", 1e-5)]
    for spec in made.search:
        assert (spec.task, spec.seed, spec.epochs, spec.each_epoch) == (FIRST, 100, 2, True)
        assert (spec.evaluation, spec.n_eval) == ("development", 100)
    assert not ids(made.search) & ids([*made.paper, *made.chosen])
    assert ids(made.specs) == ids([*made.search, *made.paper])
    both = plan(chosen_rates={FIRST: {}, THIRD: {}}, search_rates=SEARCH).search
    assert [s.task for s in both] == [FIRST] * 3 + [THIRD] * 3


# --------------------------------------------------------------------------------------------------------- timing


def test_every_trained_method_is_timed_over_one_epoch_of_the_first_seed():
    made = plan(seeds=[4, 1], settings={FIRST: {"n_train": 64, "epochs": 3}, SECOND: {}}, timed={FIRST: 5})
    assert made.timings == registry.timings(made) == (made.timing,) and made.timing.repeats == 5
    assert [s.method for s in made.timing.runs] == list(TRAINED)
    (about,) = {(s.task, s.seed, s.epochs, s.n_train, s.regime) for s in made.timing.runs}
    assert about == (FIRST, 4, 1, autoregressive.TIMED, "custom")
    assert ids(made.specs) == ids(plan(seeds=[4, 1], settings={FIRST: {"n_train": 64, "epochs": 3}, SECOND: {}}).specs)


def test_the_plan_is_found_by_its_notebook():
    assert registry.plan("05_autoregressive", TINY) == plan()


# ------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"settings": {}}, ["settings: {} names no task", "at least one"]),
        ({"settings": {"toy-cause": {}}}, ["'toy-cause'", "did you mean 'toy-causes'"]),
        ({"settings": {"sst2": {}}}, ["task with prompts in settings: 'sst2'", "valid: ", "sst2-prompt"]),
        ({"settings": {"toy-sentiment": {}}}, ["'toy-sentiment'", "toy-sentiment-prompt"]),
        ({"settings": {FIRST: {"n_trian": 8}}}, [f"size of {FIRST}", "'n_trian'", "did you mean 'n_train'", "shots"]),
        (
            {"settings": {FIRST: {"learning_rate": 1}}},
            ["'learning_rate'", "valid: epochs, n_eval, n_train, seeds, shots"],
        ),
        ({"settings": {FIRST: {"seeds": 3}}}, [f"seeds 3 of {FIRST}", "1 to 2"]),
        ({"settings": {FIRST: {"seeds": 0}}}, [f"seeds 0 of {FIRST}", "1 to 2"]),
        ({"settings": {FIRST: {"n_train": 0}}}, ["n_train: 0"]),
        ({"settings": {FIRST: {"shots": 0}}}, ["shots: 0"]),
        ({"seeds": []}, ["seeds: []", "[0]"]),
        ({"seeds": [1, 1]}, ["seeds: [1, 1]", "each once"]),
        ({"compared": ["value", "b_q"]}, ["method in compared: 'b_q'", "valid: ", "zero_shot"]),
        ({"compared": ["head_only"]}, ["method in compared: 'head_only'", "in_context"]),
        ({"demonstrations": "stale"}, ["demonstrations: 'stale'", "'fixed' or 'fresh'"]),
        ({"chosen_rates": {"copa": {}}}, ["task in chosen_rates: 'copa'", f"valid: {SECOND}, {THIRD}, {FIRST}"]),
        ({"chosen_rates": {FIRST: {"zero_shot": 1.0}}}, [f"chosen_rates of {FIRST}: 'zero_shot'", "value"]),
        ({"chosen_rates": {FIRST: {"lora": -1.0}}}, ["learning_rate: -1.0"]),
        ({"chosen_rates": {FIRST: {}}, "search_rates": {"b_v": [0.1]}}, ["method in search_rates: 'b_v'", "value"]),
        ({"chosen_rates": {FIRST: {}}, "search_rates": {"in_context": [0.1]}}, ["search_rates: 'in_context'"]),
        ({"search_rates": SEARCH}, ["search_rates", "of no task", "chosen_rates"]),
        ({"timed": {"copa": 1}}, ["task in timed: 'copa'", SECOND]),
        ({"timed": {FIRST: 0}}, ["timed", "at least one turn"]),
        ({"timed": {FIRST: 1, SECOND: 1}}, ["timed", "one task"]),
        ({"model": "tiny-bert"}, [f"task {FIRST!r}", "'tiny-bert'", "toy-sentiment"]),
        ({"source": "hub"}, [FIRST, "'hub'", "valid: bundled"]),
    ],
)
def test_mistakes_are_named_with_what_is_valid(given, said):
    with pytest.raises(UserError) as error:
        plan(**given)
    assert all(text in str(error.value) for text in said), str(error.value)


# ------------------------------------------------------------------------------------------------- specs of prompts


def spec(**more) -> RunSpec:
    return RunSpec(**{"model": "tiny-opt", "task": SECOND, "source": "bundled", "method": "value"} | more)


ENCODER = {"model": "tiny-bert", "task": "toy-sentiment"}


def refused(**more) -> str:
    with pytest.raises(UserError) as error:
        spec(**more)
    return str(error.value)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [({}, ("head_only", "none", "merged")), (ENCODER, ("zero_shot", "in_context"))],
    ids=["prompts", "head"],
)
def test_a_method_of_the_other_form_is_refused_and_every_other_is_not(given, wrong):
    for method in methods.METHODS:
        if method not in wrong:
            assert method == "merged" or spec(method=method, **given).method == method
            continue
        said = refused(method=method, **given)
        assert said.startswith(f"method {method!r}: the task ")
        assert said.partition("valid: ")[2].split(", ") == [name for name in methods.METHODS if name not in wrong]


def test_a_model_of_the_other_form_is_refused_with_the_tasks_that_it_can_do():
    encoder, decoder = refused(model="tiny-bert"), refused(**ENCODER | {"model": "tiny-llama"})
    assert encoder.startswith(f"task {SECOND!r} needs a decoder") and "'tiny-bert' is not one" in encoder
    assert decoder.startswith("task 'toy-sentiment' needs an encoder") and "'tiny-llama' is not one" in decoder
    named = {said: set(said.partition("tasks for this model: ")[2].split(", ")) for said in (encoder, decoder)}
    assert named[decoder] == set(PROMPTS) and named[encoder] == set(tasks.names()) - set(PROMPTS)


def test_a_model_that_is_not_known_yet_may_be_of_either_form():
    unknown = {"model": "hub:org/name", "weights": "w"}
    assert spec(**unknown).task == SECOND and spec(**ENCODER | unknown).task == "toy-sentiment"


@pytest.mark.parametrize("given", [{"shots": 4}, {"demonstrations": "fixed"}, {"shots": 4, "demonstrations": "fresh"}])
@pytest.mark.parametrize("form", [{}, {"method": "zero_shot"}, ENCODER], ids=["value", "zero-shot", "encoder"])
def test_demonstrations_without_in_context_learning_are_refused(given, form):
    assert "method in_context" in refused(**form, **given)


@pytest.mark.parametrize(
    "given", [{"head": "bias"}, {"method": "all_biases", "ranking": True, "fisher_along": True}], ids=["head", "fisher"]
)
def test_what_belongs_to_a_head_is_refused_with_prompts(given):
    assert "head and fisher_along" in refused(**given)


def test_what_is_left_out_of_a_prompted_run_is_the_papers():
    made = spec(task="boolq", source="hub")
    assert (made.batch_size, made.schedule, made.n_eval, made.max_length) == (8, "linear", 1000, 2048)
    assert (made.learning_rate, made.epochs, made.n_train) == (1e-3, 5, 1000)
    assert spec(task="boolq", source="hub", method="full").learning_rate == 1e-5
    shown = spec(method="in_context")
    assert (shown.shots, shown.demonstrations) == (32, "fresh") and (made.shots, made.demonstrations) == (None, None)
    encoder = spec(**ENCODER)
    assert (encoder.batch_size, encoder.schedule, encoder.n_eval, encoder.max_length) == (16, "constant", None, 128)


def test_what_is_given_to_a_prompted_run_stands():
    given = {"batch_size": 4, "schedule": "constant", "n_eval": 20, "shots": 3, "demonstrations": "fixed"}
    made = spec(method="in_context", **given)
    assert {name: getattr(made, name) for name in given} == given and made.run_id != spec(method="in_context").run_id


def test_demonstrations_and_micro_batches_name_another_run_and_their_absence_none():
    names = [
        spec(method="in_context", **more).run_id
        for more in ({}, {"shots": 31}, {"demonstrations": "fixed"}, {"micro_batch": 4})
    ]
    assert len(set(names)) == 4 and spec(method="in_context", shots=32, demonstrations="fresh").run_id == names[0]
    assert not {"shots", "demonstrations", "micro_batch"} & set(spec(**ENCODER).portable)
