"""Verdicts on §3.5: the paper's eleven tasks for decoders, on runs whose numbers are chosen."""

import os

import pytest
from constructed import setting

from beft_lib import evidence
from beft_lib.chapters import paper
from beft_lib.chapters.autoregressive.plan import CHOSEN, PAPER
from beft_lib.chapters.ledger import CLAIMS
from beft_lib.evidence.claims import costs, judge
from beft_lib.runs.groups import Group

TASKS = paper.numbers("table5")["columns"]
BEST, LORA, PREFIX = "value-best-decoders", "value-matches-lora", "value-matches-prefix"
IN_CONTEXT, ZERO_SHOT = "in-context-learning-is-worse", "zero-shot-is-worse"
IDS = (BEST, LORA, PREFIX, IN_CONTEXT, ZERO_SHOT)
OWN_RATES = (f"{LORA}-chosen-rate", f"{PREFIX}-chosen-rate")

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
    return judge.judge(CLAIMS, {"05_autoregressive": evidence.compare_groups(groups)}).set_index("id")


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
    own = {claim.id for claim in CLAIMS if claim.notebook == "05_autoregressive"}
    assert own == {*IDS, *OWN_RATES} and len(TASKS) == 11
    assert all(claim.section.startswith("§3.5") for claim in CLAIMS if claim.id in own)


def test_what_holds_on_all_eleven_tasks_is_supported():
    found = ledger(Group(runs(), PAPER)).loc[list(IDS)]
    assert found.verdict.to_dict() == every("supported")
    assert all("OPT-1.3B" in text and PAPER in text and "run in" not in text for text in found.evidence)


def test_one_task_that_is_decided_against_contradicts():
    assert verdicts(with_last(TURNED, others=TASKS[:2])) == every("contradicted")


def test_one_task_that_is_undecided_leaves_a_claim_undecided():
    assert verdicts(with_last(NOISE)) == every("inconclusive")


def test_a_task_that_was_not_run_leaves_a_claim_unsupported_and_is_named():
    found = ledger(Group(runs(tasks=TASKS[:-1]), PAPER)).loc[list(IDS)]
    assert found.verdict.to_dict() == every("inconclusive")
    assert all(f"not run: {TASKS[-1]}; run in 10 of 11 settings" in text for text in found.evidence)


def test_one_seed_decides_nothing():
    one = {method: own[:1] for method, own in CLEAR.items()}
    assert verdicts(Group(runs(one), PAPER)) == every("inconclusive")


def test_failed_runs_leave_a_claim_unsupported():
    failed = {method: [None] * len(own) for method, own in CLEAR.items() if method != "value"} | {"value": HIGH}
    assert verdicts(with_last(failed)) == every("inconclusive")


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
    [("tiny-opt", "copa", "local:there", "not tested"), ("opt-1.3b", "toy-causes", "bundled", "toy data: not judged")],
)
def test_an_untrained_model_or_toys_judge_nothing(model, task, source, wanted):
    assert verdict(runs(WORSE, [task], model, source=source)) == wanted


def test_each_model_of_a_matrix_is_judged():
    groups = {
        f"05_autoregressive__{model}": evidence.compare_groups([Group(runs(scores, TASKS[:2], model), PAPER)])
        for model, scores in (("opt-1.3b", WORSE), ("opt-6.7b", BETTER))
    }
    rows = judge.judge(CLAIMS, groups).set_index("id").loc[[ZERO_SHOT]]
    assert rows.verdict.tolist() == ["contradicted", "inconclusive"]
    for text, own in zip(rows.evidence, ("05_autoregressive__opt-1.3b, Table 5: OPT-1.3B", "OPT-6.7B")):
        assert own in text


# --------------------------------------------------------------------------------------------- rates of their own


def at_own_rates(scores, tasks=TASKS) -> Group:
    return Group(runs(scores, tasks, learning_rate=0.03), CHOSEN)


def test_rates_of_their_own_are_judged_where_they_were_run():
    poor = Group(runs(TURNED, TASKS[:2]), PAPER)
    assert verdicts(poor, ids=OWN_RATES) == every("not tested", OWN_RATES)
    both = ledger(poor, at_own_rates(ALIKE))
    assert both.loc[list(OWN_RATES)].verdict.to_dict() == every("supported", OWN_RATES)
    assert both.loc[list(IDS)].verdict.to_dict() == every("contradicted")
    assert all(CHOSEN in text for text in both.loc[list(OWN_RATES)].evidence)


def test_rates_of_their_own_on_some_of_the_tasks_support_nothing_and_may_contradict():
    for scores, wanted in ((ALIKE, "inconclusive"), (ALIKE | {"value": LOW}, "contradicted")):
        assert verdicts(at_own_rates(scores, TASKS[:2]), ids=OWN_RATES) == every(wanted, OWN_RATES)


# ------------------------------------------------------------------------------------------------- fewer parameters

FEWER = costs.trains_fewer("value", "lora", 30)


@pytest.mark.parametrize(
    ("value", "lora", "wanted"),
    [
        (49152, 1572864, "supported"),  # OPT-1.3B: thirty-two times as many
        (100, 3000, "supported"),
        (100, 2550, "supported"),  # within 15 %
        (100, 2549, "contradicted"),
        (100, 100, "contradicted"),
        (100, 90000, "supported"),
    ],
)
def test_scalars_are_counted_exactly_and_fewer_than_claimed_will_do(value, lora, wanted):
    specs = runs({"value": [0.8], "lora": [0.8]}, ["copa"], trainable={"value": value, "lora": lora})
    found = FEWER(evidence.compare(specs))
    assert found.verdict == wanted and found.effect.mean == pytest.approx(lora / value - 1) and found.effect.n == 1
    assert found.reason == f"b_v {value:,} scalars, LoRA {lora:,}: {lora / value:.1f} times as many"


def test_scalars_of_a_method_that_was_not_run_or_failed_are_not_counted():
    assert FEWER([]) is None
    for scores in ({"value": [0.8]}, {"value": [0.8], "lora": [None]}):
        assert FEWER(evidence.compare(runs(scores, ["copa"]))) is None


def test_a_match_with_too_many_scalars_is_contradicted():
    found = ledger(Group(runs(ALIKE, TASKS[:2], trainable=COUNTS | {"lora": 1000}), PAPER))
    assert found.loc[LORA].verdict == "contradicted" and "10.0 times as many" in found.loc[LORA].evidence
    assert found.loc[PREFIX].verdict == "inconclusive"  # two tasks of eleven


def test_a_match_of_methods_that_learned_nothing_is_inconclusive():
    found = ledger(Group(runs(ALIKE, TASKS[:-1]) + runs(ALIKE | {"zero_shot": [0.9]}, TASKS[-1:]), PAPER))
    for id in (LORA, PREFIX):
        assert found.loc[id].verdict == "inconclusive"
        assert "neither is decidedly better than the untuned model" in found.loc[id].evidence
