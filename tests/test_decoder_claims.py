"""Verdicts on §3.5: the paper's eleven tasks for decoders, on runs whose numbers are chosen."""

import pytest
from constructed import setting

from beft_lib import claims, evidence, paper
from beft_lib.claims import extended
from beft_lib.experiments.autoregressive import CHOSEN, PAPER
from beft_lib.experiments.groups import Group

TASKS = paper.numbers("table5")["columns"]
BEST, LORA, PREFIX = "value-best-decoders", "value-matches-lora", "value-matches-prefix"
IN_CONTEXT, ZERO_SHOT = "in-context-learning-is-worse", "zero-shot-is-worse"
IDS = (BEST, LORA, PREFIX, IN_CONTEXT, ZERO_SHOT)
OWN_RATES = (f"{LORA}-chosen-rate", f"{PREFIX}-chosen-rate")

HIGH, MIDDLE, LOW = [0.80, 0.80, 0.81], [0.70, 0.70, 0.71], [0.60, 0.60, 0.61]
CLEAR = {
    "value": HIGH,
    "query": MIDDLE,
    "key": LOW,
    "lora": HIGH,
    "prefix": HIGH,
    "in_context": LOW,
    "zero_shot": [0.6],
}
TURNED = {
    "value": LOW,
    "query": MIDDLE,
    "key": HIGH,
    "lora": HIGH,
    "prefix": MIDDLE,
    "in_context": HIGH,
    "zero_shot": [0.7],
}
NOISE = CLEAR | {"value": [0.50, 0.90, 0.70]}
COUNTS = {"value": 100, "lora": 3200, "prefix": 1000, "in_context": 0, "zero_shot": 0}


def runs(scores=CLEAR, tasks=TASKS, model: str = "opt-1.3b", trainable=COUNTS, n_eval: int = 200, **more) -> list:
    given = {"ranked": False, "n_eval": n_eval, "trainable": trainable} | more
    return [spec for task in tasks for spec in setting(scores, model, task, **given)]


def ledger(*groups: Group, name: str = "05_autoregressive"):
    return claims.judge({name: evidence.compare_groups(groups)}).set_index("id")


def verdicts(*groups: Group, ids=IDS) -> dict[str, str]:
    found = ledger(*groups)
    return {id: found.loc[id].verdict for id in ids}


def every(verdict: str, ids=IDS) -> dict[str, str]:
    return dict.fromkeys(ids, verdict)


def with_last(scores, **more) -> Group:
    """All eleven tasks, the last of them with these scores."""
    return Group(runs(tasks=TASKS[:-1], **more) + runs(scores, TASKS[-1:], **more), PAPER)


# -------------------------------------------------------------------------------------------------------- verdicts


def test_every_claim_of_the_section_is_among_these():
    own = {claim.id for claim in claims.CLAIMS if claim.notebook == "05_autoregressive"}
    assert own == {*IDS, *OWN_RATES} and len(TASKS) == 11
    assert all(claim.section.startswith("§3.5") for claim in claims.CLAIMS if claim.id in own)


def test_what_holds_on_all_eleven_tasks_is_supported():
    found = ledger(Group(runs(), PAPER))
    assert found.loc[list(IDS)].verdict.to_dict() == every("supported")
    assert all("OPT-1.3B" in text and PAPER in text for text in found.loc[list(IDS)].evidence)
    assert not any("not run" in text or "settings;" in text for text in found.loc[list(IDS)].evidence)


def test_one_task_that_is_decided_against_contradicts():
    assert verdicts(with_last(TURNED)) == every("contradicted")


def test_one_task_that_is_undecided_leaves_a_claim_undecided():
    assert verdicts(with_last(NOISE)) == every("inconclusive")


def test_a_task_that_was_not_run_leaves_a_claim_unsupported_and_is_named():
    found = ledger(Group(runs(tasks=TASKS[:-1]), PAPER)).loc[list(IDS)]
    assert found.verdict.to_dict() == every("inconclusive")
    assert all(f"not run: {TASKS[-1]}; run in 10 of 11 settings" in text for text in found.evidence)
    assert verdicts(Group(runs(TURNED, tasks=TASKS[-1:]), PAPER)) == every("contradicted")


def test_one_seed_decides_nothing():
    one = {method: own[:1] for method, own in CLEAR.items()}
    assert verdicts(Group(runs(one), PAPER)) == every("inconclusive")


def test_failed_runs_leave_a_claim_unsupported():
    failed = {method: [None] * len(own) for method, own in CLEAR.items() if method != "value"} | {"value": HIGH}
    assert verdicts(with_last(failed)) == every("inconclusive")


def test_a_method_that_was_not_run_leaves_its_claim_not_run():
    left = {method: own for method, own in CLEAR.items() if method not in ("lora", "zero_shot")}
    found = verdicts(Group(runs(left), PAPER))
    assert found == every("supported") | {LORA: "not run", ZERO_SHOT: "not run"}


# ----------------------------------------------------------------------------------------------------------- tasks


def test_a_variant_with_short_passages_stands_for_its_task():
    tasks = [{"boolq": "boolq-short", "squad": "squad-short"}.get(task, task) for task in TASKS]
    assert verdicts(Group(runs(tasks=tasks), PAPER)) == every("supported")


def test_a_variant_is_not_looked_at_where_its_task_was_run():
    short = runs(TURNED, tasks=["boolq-short"])
    assert verdicts(Group(runs() + short, PAPER)) == every("supported")


def test_other_tasks_judge_nothing():
    toys = runs(TURNED, tasks=["toy-causes"])
    assert verdicts(Group(runs() + toys, PAPER)) == every("supported")
    assert verdicts(Group(toys, PAPER)) == every("not run")


def test_the_amount_of_data_is_the_profiles():
    few = {"regime": "custom", "n_train": 64}
    assert verdicts(Group(runs(tasks=TASKS[:5], **few) + runs(tasks=TASKS[5:]), PAPER)) == every("supported")
    assert verdicts(with_last(TURNED, **few)) == every("contradicted")


@pytest.mark.parametrize(
    ("model", "source", "wanted"),
    [("tiny-opt", "local:anywhere", "not run"), ("opt-1.3b", "bundled", "toy data: not judged")],
)
def test_an_untrained_model_or_toys_judge_nothing(model, source, wanted):
    specs = runs(tasks=["toy-causes"], model=model, source=source)
    assert verdicts(Group(specs, PAPER)) == every(wanted)


def test_each_model_of_a_matrix_is_judged():
    groups = {
        f"05_autoregressive__{model}": evidence.compare_groups([Group(runs(scores, TASKS[:2], model), PAPER)])
        for model, scores in (("opt-1.3b", TURNED), ("opt-6.7b", CLEAR))
    }
    rows = claims.judge(groups).set_index("id").loc[[ZERO_SHOT]]
    assert rows.verdict.tolist() == ["contradicted", "inconclusive"]
    for text, own in zip(rows.evidence, ("05_autoregressive__opt-1.3b, Table 5: OPT-1.3B", "OPT-6.7B")):
        assert own in text


# --------------------------------------------------------------------------------------------- rates of their own


def at_own_rates(scores, tasks=TASKS, rate: float = 0.03) -> Group:
    return Group(runs(scores, tasks, learning_rate=rate), CHOSEN)


def test_rates_of_their_own_are_judged_where_they_were_run():
    poor = runs(TURNED)
    assert verdicts(Group(poor, PAPER), ids=OWN_RATES) == every("not run", OWN_RATES)
    both = ledger(Group(poor, PAPER), at_own_rates(CLEAR))
    assert both.loc[list(OWN_RATES)].verdict.to_dict() == every("supported", OWN_RATES)
    assert both.loc[list(IDS)].verdict.to_dict() == every("contradicted")
    assert all(CHOSEN in text for text in both.loc[list(OWN_RATES)].evidence)


def test_rates_of_their_own_on_some_of_the_tasks_support_nothing():
    some = at_own_rates(CLEAR, TASKS[:2])
    assert verdicts(Group(runs(), PAPER), some, ids=OWN_RATES) == every("inconclusive", OWN_RATES)
    turned = at_own_rates(TURNED, TASKS[:2])
    assert verdicts(Group(runs(), PAPER), turned, ids=OWN_RATES) == every("contradicted", OWN_RATES)


# ------------------------------------------------------------------------------------------------- fewer parameters

FEWER = extended.trains_fewer("value", "lora", 30)


def counted(value: int, lora: int):
    specs = setting(
        {"value": [0.8], "lora": [0.8]}, "opt-1.3b", "copa", ranked=False, trainable={"value": value, "lora": lora}
    )
    return FEWER(evidence.compare(specs))


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
    found = counted(value, lora)
    assert found.verdict == wanted and found.effect.mean == pytest.approx(lora / value - 1) and found.effect.n == 1
    assert f"b_v {value:,} scalars, LoRA {lora:,}: {lora / value:.1f} times as many" == found.note


def test_scalars_of_a_method_that_was_not_run_or_failed_are_not_counted():
    assert FEWER([]) is None
    for scores in ({"value": [0.8]}, {"value": [0.8], "lora": [None]}):
        assert FEWER(evidence.compare(setting(scores, "opt-1.3b", "copa", ranked=False))) is None


def test_a_match_with_too_many_scalars_is_contradicted():
    too_many = {"value": 100, "lora": 1000, "prefix": 1000}
    found = ledger(Group(runs(trainable=too_many), PAPER))
    assert found.loc[LORA].verdict == "contradicted" and "10.0 times as many" in found.loc[LORA].evidence
    assert found.loc[PREFIX].verdict == "supported"


def test_a_match_of_methods_that_learned_nothing_is_inconclusive():
    idle = CLEAR | {"zero_shot": [0.8]}
    found = ledger(with_last(idle))
    for id in (LORA, PREFIX):
        assert found.loc[id].verdict == "inconclusive"
        assert "neither is decidedly better than the untuned model" in found.loc[id].evidence
    assert found.loc[BEST].verdict == "supported" and found.loc[ZERO_SHOT].verdict == "inconclusive"
