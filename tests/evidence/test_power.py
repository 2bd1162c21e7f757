"""What would decide an undecided claim, and its price: on constructed runs whose spread and cost are known."""

import numpy as np
import pytest
from constructed import setting

from beft_lib import evidence
from beft_lib.chapters.ledger import CLAIMS
from beft_lib.evidence import power, stats
from beft_lib.evidence.claims import judged

CLEAR = {"value": [0.80, 0.80, 0.81], "query": [0.70, 0.70, 0.70], "key": [0.60, 0.60, 0.60]}
VAGUE = {"value": [0.70, 0.78, 0.74], "query": [0.71, 0.69, 0.70], "key": [0.50, 0.51, 0.50]}
IDLE = {"value": [0.60, 0.62, 0.61], "query": [0.61, 0.60, 0.62], "head_only": [0.61, 0.62, 0.60]}
IDLE |= {"all_biases": [0.60, 0.61, 0.61]}


def table(*settings, notebook: str = "01_bias_selection"):
    specs = [spec for own in settings for spec in own]
    return power.table(judged(CLAIMS, {notebook: evidence.compare(specs)}))


def row(frame, id: str):
    return next(own for own in frame.itertuples(index=False) if id in own.claims.split(", "))


def test_a_lean_needs_seeds_as_its_spread_says():
    found = row(table(setting(VAGUE, n_eval=4000)), "value-beats-query-sst2-low")
    (comparison,) = evidence.compare(setting(VAGUE, n_eval=4000))
    spread = stats.spread([comparison.samples("value", "query", [0, 1, 2])])
    needed = power.seeds_needed(spread, comparison.gap("value", "query").mean)
    assert needed > 3 and found[4] == f"{needed} seeds instead of 3 on SST-2 (low)"
    assert spread.half(seeds=needed) < comparison.gap("value", "query").mean <= spread.half(seeds=needed - 1)
    price = (needed - 3) * 3 * 100 / 3600  # b_v, b_q and the ranking run, 100 s each
    assert found[0] == f"{price:.1f}"


def test_what_the_examples_leave_open_no_seed_decides():
    close = {"value": [0.72, 0.72, 0.74], "query": [0.70, 0.70, 0.70], "key": [0.5] * 3, "all_biases": [0.74] * 3}
    found = row(table(setting(close, n_eval=100)), "value-beats-query-sst2-low")
    assert "times the evaluation examples on SST-2 (low)" in found[4] and found[0] == "–"


def test_what_learned_nothing_needs_the_authors_steps():
    found = row(table(setting(IDLE, epochs=4)), "value-beats-query-sst2-low")
    assert found.verdict == "nothing learned" and found[4] == "SST-2 (low) for 1008 steps instead of 252"
    assert float(found[0]) > 0
    as_long = row(table(setting(IDLE)), "value-beats-query-sst2-low")
    assert "trained as long as in the authors' code" in as_long[4] and as_long[0] == "–"


def test_settings_that_were_not_run_have_a_price_and_what_needs_a_model_has_none():
    frame = table(setting(CLEAR), setting(CLEAR, regime="medium"), notebook="02_glue_regimes")
    missing = row(frame, "value-beats-query")
    assert missing[4].startswith("22 settings that were not run") and float(missing[0]) > 0
    assert row(frame, "magnitude-selects-query-sst2")[4] == "needs BERT-base, whose ranking it is about"
    assert row(frame, "value-matches-full")[0] == "–"  # another notebook's: needs its runs


def test_the_list_is_cheapest_first_and_holds_nothing_that_is_decided():
    frame = table(setting(CLEAR), setting(CLEAR, regime="medium"), notebook="02_glue_regimes")
    prices = [float(own) for own in frame["core-hours"] if own != "–"]
    assert prices == sorted(prices) and list(frame["core-hours"])[-1] == "–"
    listed = ", ".join(frame.claims)
    assert "table5-shares" not in listed and "value-is-small" not in listed
    decided = table(setting(CLEAR))
    assert "value-beats-query-sst2-low" not in ", ".join(decided.claims)


@pytest.mark.parametrize("seeds", [3, 5])
def test_seeds_are_counted_until_the_interval_is_narrower_than_the_effect(seeds):
    rng = np.random.default_rng(0)
    scores = rng.normal(2, 3, seeds)
    spread = stats.spread([(scores, np.tile(scores, (2, 1)))])
    needed = power.seeds_needed(spread, 2.0)
    assert spread.half(seeds=needed) < 2.0 and needed >= seeds
    assert power.seeds_needed(spread, 1e-9) is None
