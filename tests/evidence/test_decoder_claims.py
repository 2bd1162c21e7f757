"""Verdicts on §3.5: the paper's eleven tasks for decoders, on runs whose numbers are chosen."""

import os

import pytest
from constructed import numbers, setting

from beft_lib import evidence, tasks
from beft_lib.chapters import paper
from beft_lib.chapters.autoregressive.plan import CHOSEN, PAPER
from beft_lib.chapters.ledger import CLAIMS
from beft_lib.evidence.claims import judge
from beft_lib.runs.groups import Group

TASKS = paper.numbers("table5")["columns"]
BEST, LORA, PREFIX = "value-best-decoders", "value-matches-lora", "value-matches-prefix"
IN_CONTEXT, ZERO_SHOT = "in-context-learning-is-worse", "zero-shot-is-worse"
IDS = (BEST, LORA, PREFIX, IN_CONTEXT, ZERO_SHOT)
UNIVERSAL = (BEST, IN_CONTEXT, ZERO_SHOT)  # of every task; of LoRA and prefix tuning, the majority

HIGH, MIDDLE, LOW = [0.90, 0.90, 0.92], [0.60, 0.60, 0.62], [0.30, 0.30, 0.32]
CLEAR = {"value": HIGH, "query": MIDDLE, "key": LOW, "lora": HIGH, "prefix": HIGH, "in_context": LOW}
CLEAR |= {"zero_shot": [0.3]}
TURNED = {"value": LOW, "query": MIDDLE, "key": HIGH, "lora": HIGH, "prefix": MIDDLE, "in_context": HIGH}
TURNED |= {"zero_shot": [0.6]}
NOISE = CLEAR | {"value": [0.10, 0.98, 0.60]}
BETTER, WORSE = ({method: own[method] for method in ("value", "zero_shot")} for own in (CLEAR, TURNED))
ALIKE = dict.fromkeys(("value", "lora", "prefix"), HIGH)
COUNTS = {"value": 100, "lora": 3200, "prefix": 1000, "in_context": 0, "zero_shot": 0}


@pytest.fixture(autouse=True)
def quickly_stored(monkeypatch):
    """Hundreds of small runs, which need not survive a loss of power."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def runs(scores=CLEAR, tasks=TASKS, model: str = "opt-1.3b", trainable=COUNTS, **more) -> list:
    given = {"ranked": False, "n_eval": 50, "trainable": trainable} | more
    return [spec for task in tasks for spec in setting(scores, model, task, **given)]


def ledger(*groups: Group):
    return judge(CLAIMS, {"05_autoregressive": evidence.compare_groups(groups)}).set_index("id")


def verdicts(*groups: Group, ids=IDS) -> dict[str, str]:
    found = ledger(*groups)
    return {id: found.loc[id].verdict for id in ids}


def verdict(*specs: list) -> str:
    """On zero-shot, for which two methods suffice."""
    return verdicts(Group([spec for own in specs for spec in own], PAPER))[ZERO_SHOT]


def every(verdict: str, ids=IDS) -> dict[str, str]:
    return dict.fromkeys(ids, verdict)


def with_last(scores, others=TASKS[:-1]) -> Group:
    """Tasks that speak for the claims, and after them the last one with these scores."""
    return Group(runs(tasks=others) + runs(scores, TASKS[-1:]), PAPER)


# -------------------------------------------------------------------------------------------------------- verdicts


def test_every_claim_of_the_section_is_among_these():
    own = {claim.id for claim in CLAIMS if claim.notebook == "05_autoregressive" and not claim.printed}
    assert own == {*IDS} and len(TASKS) == 11
    assert all(claim.section.startswith("§3.5") for claim in CLAIMS if claim.id in own)


def test_what_holds_on_all_eleven_tasks_is_supported():
    found = ledger(Group(runs(), PAPER)).loc[list(IDS)]
    assert found.verdict.to_dict() == every("supported")
    assert set(found.model) == {"OPT-1.3B"}
    assert all(text.startswith("11 of 11 settings; ") and text.endswith(PAPER) for text in found.scope)


def test_one_task_that_is_decided_against_contradicts():
    found = verdicts(with_last(TURNED, others=TASKS[:2]))
    assert {id: found[id] for id in UNIVERSAL} == every("contradicted", UNIVERSAL)
    assert found[LORA] != "contradicted"  # of competitive methods the paper says: on the majority of tasks


def test_the_majority_is_of_eleven_tasks():
    for poor, wanted in ((5, "supported"), (6, "contradicted")):
        specs = runs(tasks=TASKS[poor:]) + runs(TURNED, TASKS[:poor])
        assert verdicts(Group(specs, PAPER))[LORA] == wanted


def test_one_task_that_is_undecided_leaves_a_claim_undecided():
    found = verdicts(with_last(NOISE))
    assert {id: found[id] for id in UNIVERSAL} == every("leans", UNIVERSAL) and found[LORA] == "supported"


def test_a_task_that_was_not_run_leaves_a_claim_unsupported_and_is_named():
    found = ledger(Group(runs(tasks=TASKS[:-1]), PAPER)).loc[list(IDS)]
    assert found.verdict.to_dict() == every("leans")
    assert all("10 of 11" in text and f"({tasks.title(TASKS[-1])})" in text for text in found.scope)
    assert all(text.startswith("supported") and numbers(text)[:2] == [10, 11] for text in found.reason)


def test_settings_with_other_numbers_of_seeds_say_from_how_many_to_how_many():
    fewer = {method: own[:2] for method, own in CLEAR.items()}
    found = ledger(with_last(fewer)).loc[IN_CONTEXT]
    assert found.n == "2 to 3 seeds in each of 11 settings"


def test_one_seed_decides_nothing():
    one = {method: own[:1] for method, own in CLEAR.items()}
    assert verdicts(Group(runs(one), PAPER)) == every("leans")


def test_failed_runs_leave_a_claim_unsupported():
    failed = {method: [None] * len(own) for method, own in CLEAR.items() if method != "value"} | {"value": HIGH}
    found = verdicts(with_last(failed))
    assert {id: found[id] for id in UNIVERSAL} == every("leans", UNIVERSAL)


def test_a_method_that_was_not_run_leaves_its_claim_not_run():
    left = {method: own for method, own in TURNED.items() if method not in ("lora", "zero_shot")}
    found = verdicts(Group(runs(left, TASKS[:1]), PAPER))
    assert found == every("contradicted") | {LORA: "not tested", ZERO_SHOT: "not tested"}


# ----------------------------------------------------------------------------------------------------------- tasks


def test_a_variant_with_short_passages_stands_for_its_task():
    tasks = [{"boolq": "boolq-short", "squad": "squad-short"}.get(task, task) for task in TASKS]
    assert verdict(runs(BETTER, tasks)) == "supported"
    assert verdict(runs(BETTER, tasks[:2]), runs(WORSE, ["boolq-short"])) == "contradicted"


def test_a_variant_is_not_looked_at_where_its_task_was_run():
    assert verdict(runs(BETTER), runs(WORSE, ["boolq-short"])) == "supported"


def test_other_tasks_judge_nothing():
    assert verdict(runs(BETTER), runs(WORSE, ["toy-causes"])) == "supported"
    assert verdict(runs(WORSE, ["toy-causes"])) == "not tested"


def test_the_amount_of_data_is_the_profiles():
    few = {"regime": "custom", "n_train": 64}
    assert verdict(runs(BETTER, TASKS[:5], **few), runs(BETTER, TASKS[5:])) == "supported"
    assert verdict(runs(BETTER, TASKS[:5]), runs(WORSE, TASKS[5:6], **few)) == "contradicted"
    assert verdict(runs(WORSE, TASKS[:1], regime="medium")) == "not tested"


@pytest.mark.parametrize(
    ("model", "task", "source", "wanted"),
    [("tiny-opt", "copa", "local:there", "not tested"), ("opt-1.3b", "toy-causes", "bundled", "not tested")],
)
def test_an_untrained_model_or_toys_judge_nothing(model, task, source, wanted):
    assert verdict(runs(WORSE, [task], model, source=source)) == wanted


def test_each_model_of_a_matrix_is_judged():
    groups = {
        f"05_autoregressive__{model}": evidence.compare_groups([Group(runs(scores, TASKS[:2], model), PAPER)])
        for model, scores in (("opt-1.3b", WORSE), ("opt-6.7b", BETTER))
    }
    rows = judge(CLAIMS, groups).set_index("id").loc[[ZERO_SHOT]]
    assert rows.verdict.tolist() == ["contradicted", "leans"] and rows.model.tolist() == ["OPT-1.3B", "OPT-6.7B"]
    assert rows.evidence.iloc[0].startswith("05_autoregressive__opt-1.3b, Table 5; measurement ")


# --------------------------------------------------------------------------------------------- rates of their own


def at_own_rates(scores, tasks=TASKS) -> Group:
    return Group(runs(scores, tasks, learning_rate=0.03), CHOSEN)


def test_rates_of_their_own_are_told_where_they_change_the_verdict_on_the_same_tasks():
    poor = Group(runs(TURNED, TASKS[:2]), PAPER)
    found = ledger(poor, at_own_rates(ALIKE, TASKS[:2])).loc[LORA]
    assert found.verdict == "contradicted" and PAPER in found.scope
    assert f", on {', '.join(map(tasks.title, TASKS[:2]))}: leans, 0.0 " in found.reason
    assert "supported so far" not in ledger(poor, at_own_rates(TURNED, TASKS[:2])).loc[LORA].reason
    assert "at rates of their own" not in ledger(poor, at_own_rates(TURNED, TASKS[:2])).loc[LORA].reason


def test_rates_of_their_own_are_told_where_the_same_verdict_comes_from_an_effect_that_points_elsewhere():
    usual = Group(runs(CLEAR, TASKS[:2]), PAPER)
    found = ledger(usual, at_own_rates(NOISE, TASKS[:1])).loc[BEST]
    assert found.verdict == "leans" and "; at rates of their own, on SST2: leans, " in found.reason
    assert "at rates of their own" not in ledger(usual, at_own_rates(CLEAR, TASKS[:1])).loc[BEST].reason


def test_rates_of_their_own_alone_judge_nothing():
    assert verdicts(at_own_rates(ALIKE)) == every("not tested")


# ------------------------------------------------------------------------------------------------- nothing learned


def test_where_no_method_beats_the_untuned_model_nothing_is_learned():
    idle = ALIKE | {"query": HIGH, "key": HIGH, "in_context": HIGH, "zero_shot": [0.9]}
    found = ledger(Group(runs(idle), PAPER)).loc[list(IDS)]
    others = [id for id in IDS if id != ZERO_SHOT]
    assert found.verdict[others].to_dict() == every("nothing learned", others)
    assert all("untuned model" in text for text in found.reason[others])


def test_a_claim_about_the_control_itself_is_judged_whether_or_not_anything_beats_it():
    assert verdict(runs(WORSE)) == "contradicted"  # else it would be judged only where it holds
    idle = ALIKE | {"zero_shot": [0.9]}
    assert verdict(runs(idle)) == "leans"


def test_a_task_that_learned_nothing_leaves_a_claim_supported_so_far():
    idle = ALIKE | {"query": HIGH, "key": HIGH, "in_context": HIGH, "zero_shot": [0.9]}
    found = ledger(Group(runs(tasks=TASKS[:-1]) + runs(idle, TASKS[-1:]), PAPER)).loc[list(IDS)]
    assert found.verdict.to_dict() == every("leans")
    assert all("nothing learned in 1" in found.scope[id] for id in IDS if id != ZERO_SHOT)
