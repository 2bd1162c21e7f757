"""What a report's first screen says and draws: computed from what was judged, and nothing where nothing was."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from constructed import setting

from beft_lib import evidence
from beft_lib.chapters import answers, headline, questions
from beft_lib.chapters.exhibits import LABELS
from beft_lib.chapters.ledger import CLAIMS
from beft_lib.evidence.claims import judged, ledger
from beft_lib.report import told

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CLEAR = {"value": [0.80, 0.80, 0.81], "query": [0.70, 0.70, 0.70], "head_only": [0.60, 0.60, 0.60]}
NOTHING = {"value": [0.60, 0.60, 0.61], "query": [0.60, 0.60, 0.60], "head_only": [0.60, 0.60, 0.60]}


def found(*settings):
    """Every claim, judged by these settings of the GLUE notebook."""
    compared = evidence.compare([spec for own in settings for spec in own])
    return judged(CLAIMS, {"02_glue_regimes": compared})


def answer(question, *settings):
    return answers.answers(found(*settings))[question]


def test_every_question_has_leads_that_are_its_own_claims():
    claims = {claim.id: claim for claim in CLAIMS}
    assert tuple(answers.LEADS) == questions.QUESTIONS
    for question, leads in answers.LEADS.items():
        assert leads and all(claims[lead.claim].question == question for lead in leads)
        assert all(lead.tells.count("{effect}") == 1 for lead in leads)


def test_an_answer_tells_the_number_of_its_claim_and_where_it_is_from():
    (one, _) = answer(questions.ORDER, setting(CLEAR), setting(CLEAR, regime="medium"))
    assert (one.claim, one.model, one.notebook) == ("value-beats-query", "MiniLM-L6", "02_glue_regimes")
    assert one.verdict == "leans" and one.word == "So far yes"  # two of the 24 settings that the claim names
    assert re.search(r"10\.3 \[[\d.]+, [\d.]+\] points", one.text) and "in 2 of 24 settings (22 not run)" in one.text


def test_against_the_claim_an_answer_leans_to_no():
    turned = CLEAR | {"value": CLEAR["query"], "query": CLEAR["value"]}
    assert answer(questions.ORDER, setting(turned))[0].word == "No"


def test_where_nothing_was_learned_no_number_is_told():
    (one, *_) = answer(questions.ORDER, setting(NOTHING | {"all_biases": [0.6] * 3}))
    assert one.verdict == "nothing learned" and one.word == "Not known" and "points" not in one.text


def test_two_models_have_a_sentence_each():
    both = answer(questions.ORDER, setting(CLEAR), setting(CLEAR, model="mpnet-base"))
    assert [one.model for one in both] == ["MiniLM-L6", "MPNet-base"] and len(both) == answers.MOST


def test_of_two_models_the_one_that_tells_most_comes_first():
    more = setting(CLEAR, model="mpnet-base"), setting(CLEAR, model="mpnet-base", regime="medium")
    assert [one.model for one in answer(questions.ORDER, setting(CLEAR), *more)] == ["MPNet-base", "MiniLM-L6"]


def test_without_runs_it_says_what_is_needed_and_of_toys_that_nothing_is_judged():
    (one,) = answer(questions.FOLLOWS)
    assert one.word == "Not tested" and one.text.startswith("needs ")
    toys = setting(CLEAR, task="toy-sentiment", source="bundled")
    (one,) = answer(questions.FOLLOWS, toys)
    assert one.text == answers.TOY and not one.claim
    of_runs = [one for one in found(toys) if one.claim.question == questions.FOLLOWS and not one.claim.printed]
    assert told.gathered(of_runs) == answers.TOY


def test_the_page_is_told_every_row_of_the_ledger_once():
    judgements = found(setting(CLEAR), setting(NOTHING, task="rte", n_eval=200))
    frame = ledger(judgements)
    page = told.questions(judgements, frame)
    rows = [claim for question in page for claim in question.claims]
    assert len(rows) == len(frame) == len({claim.id for claim in rows})
    assert sorted(claim.verdict for claim in rows) == sorted(frame.verdict)
    assert sum(sum(question.counts.values()) for question in page) == len(frame)
    (own,) = (claim for claim in rows if claim.id == "claim-value-beats-query-minilm-l6")
    assert own.exhibits[0] == "tab-table1" and own.rows == (("SST-2", "low"),) and own.ours.startswith("10.3 [")
    ids = {claim.id for claim in rows}
    assert {answer.claim for question in page for answer in question.answers if answer.claim} <= ids


def test_undecided_claims_are_gathered_with_the_settings_behind_them():
    judgements = found(setting(CLEAR), setting(NOTHING, task="rte", n_eval=200))
    own = [one for one in judgements if one.claim.id == "value-beats-query"]
    assert told.gathered(own) == (
        "1 of 1 claims are undecided; in 1 of the 2 settings behind them nothing was learned."
    )


@pytest.mark.parametrize("notebook", sorted(LABELS))
def test_what_a_claim_calls_its_evidence_is_shown_in_its_notebook(notebook):
    source = "".join(
        line
        for cell in json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
        for line in cell["source"]
    )
    shown = set(re.findall(r'show(_table)?\((?:[^"]|\n)*?"([\w]+)",', source))
    assert {claim.shown for claim in CLAIMS if claim.notebook == notebook} <= set(LABELS[notebook])
    for keys in LABELS[notebook].values():
        for key in keys:
            assert f'"{key[4:]}"' in source and key[:4] in ("fig-", "tab-"), (key, shown)


def test_every_claim_leads_to_a_figure_or_a_table():
    assert all(LABELS[claim.notebook][claim.shown] for claim in CLAIMS)


# -------------------------------------------------------------------------------------------------- the headline


def chosen(*settings):
    return headline.settings({"02_glue_regimes": evidence.compare([spec for own in settings for spec in own])})


def test_the_headline_has_each_setting_once_in_which_something_was_learned():
    own = chosen(setting(CLEAR, regime="medium"), setting(CLEAR), setting(NOTHING, task="rte", n_eval=200))
    assert [(c.task, c.regime) for c in own] == [("sst2", "low"), ("sst2", "medium")]
    twice = headline.settings({"a": own, "b": own})
    assert twice == own and not headline.settings({})


def test_the_headline_draws_the_scores_and_the_papers():
    own = chosen(setting(CLEAR), setting(CLEAR, model="mpnet-base"))
    figure = headline.figure(own)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["MiniLM-L6", "MPNet-base"]
    drawn = {x for line in figure.axes[0].lines for x in line.get_xdata()}
    assert {60.0, 70.0, 75.0, 85.8, 80.0} <= {round(float(x), 1) for x in drawn}
    plt.close(figure)
    assert headline.printed(own[0], "value") == 85.8 and headline.printed(own[0], "head_only") is None
    assert "b_v 80.3" in headline.described(own) and "Toy data" in headline.caption(own, toys=True)
