"""What the runs answer to each of the eight questions: at most two sentences, computed from claims that were judged."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from beft_lib import models
from beft_lib.chapters import questions
from beft_lib.evidence.claims import Judged
from beft_lib.evidence.claims.finding import (
    CONTRADICTED,
    LEANS,
    NO_DIFFERENCE,
    NOT_TESTED,
    NOTHING_LEARNED,
    SO_FAR,
    SUPPORTED,
    Finding,
)
from beft_lib.evidence.stats import number

TOY = "Toy data: nothing is judged."


class Lead(NamedTuple):
    """A claim that answers its question, and what its number is, as the subject of a sentence ("… is 3.1 points")."""

    claim: str
    measure: str


LEADS: Mapping[str, tuple[Lead, ...]] = {
    questions.ORDER: (
        Lead("value-beats-query", "the score of b_v minus that of b_q"),
        Lead("value-beats-query-other-encoders", "the score of b_v minus that of b_q"),
        Lead("query-beats-key", "the score of b_q minus that of b_k"),
    ),
    questions.FINDS: (
        Lead("projection-selects-best", "the score of the term ranked first minus that of the next"),
        Lead("projection-loses-less-than-fisher", "what it gains over selecting by Fisher"),
    ),
    questions.RIVALS: (
        Lead("magnitude-selects-query-sst2", "the share in which Magnitude selects b_q on SST-2"),
        Lead("fisher-static", "the share in which Fisher ranks alike from low to all data"),
    ),
    questions.FOLLOWS: (Lead("projection-follows", "the agreement of the gaps in score and in performance"),),
    questions.BIGGER: (
        Lead("value-matches-full", "the score of b_v minus that of all parameters"),
        Lead("value-is-faster", "what the next cheapest method takes"),
    ),
    questions.MERGING: (
        Lead("value-is-task-specific", "a task's own b_v minus the other task's"),
        Lead("merging-helps", "the average of both minus the other task's b_v"),
    ),
    questions.RECIPE: (
        Lead("score-gap-follows-rate", "how much a higher rate widens the gap between b_v and b_q on CB"),
        Lead("value-improves-with-epochs", "what b_v gains from more epochs on CB"),
    ),
    questions.DECODERS: (
        Lead("value-best-decoders", "the score of b_v minus that of b_q"),
        Lead("value-matches-lora", "the score of b_v minus that of LoRA"),
    ),
}
WORDS = {SUPPORTED: "Yes", CONTRADICTED: "No", NO_DIFFERENCE: "No difference", NOTHING_LEARNED: "Not known"}
MOST = 2  # sentences of an answer


class Sentence(NamedTuple):
    """One sentence of an answer: the claim it reports, a word or two that answer, and what was measured."""

    claim: str
    model: str
    notebook: str  # the execution of a notebook that shows it, "" where nothing was judged
    verdict: str
    word: str
    text: str


def answers(found: Sequence[Judged]) -> dict[str, list[Sentence]]:
    """Each question's answer. Where its leads were judged on several models, a sentence is about one model."""
    return {question: _answer(leads, found) for question, leads in LEADS.items()}


def _answer(leads: Sequence[Lead], found: Sequence[Judged]) -> list[Sentence]:
    own = [(lead, one) for lead in leads for one in found if one.claim.id == lead.claim]
    judged = [(lead, one) for lead, one in own if one.finding is not None]
    if judged:
        return [_sentence(lead, one) for lead, one in judged[:MOST]]
    if any(one.toys for _, one in own):
        return [Sentence("", "", "", NOT_TESTED, "", TOY)]
    lead, one = own[0]
    return [Sentence(lead.claim, "", "", NOT_TESTED, "Not tested", f"needs {one.claim.needs}.")]


def _sentence(lead: Lead, one: Judged) -> Sentence:
    finding = one.finding
    assert finding is not None, "only what was judged is told"
    model = one.model if one.claim.printed else models.title(one.model)
    if finding.verdict == NOTHING_LEARNED:
        text = f"{lead.measure} says nothing, because {_settings(len(finding.idle))} of {model} learned nothing."
    else:
        about = _covered(finding)
        text = f"{lead.measure} is {effect(finding)} on {model}{f', {about}' if about else ''}."
    return Sentence(one.claim.id, model, one.name, finding.verdict, word(one), text)


def word(one: Judged) -> str:
    """The verdict as an answer: yes, no, or which way it leans."""
    finding = one.finding
    if finding is None:
        return "Not tested"
    if finding.verdict == NOT_TESTED and one.claim.only_of:
        return f"Not tested on {models.title(one.claim.only_of)}, whose ranking it is"
    if finding.verdict == LEANS:
        if finding.reason.startswith(SO_FAR):
            return "So far yes"
        return "Leans to yes" if finding.effect.mean > finding.against else "Leans to no"
    return WORDS[finding.verdict]


def effect(finding: Finding) -> str:
    """The effect with its interval, if it has a spread, and its unit; "–" where there is none."""
    mean, low, high, _ = finding.effect
    if mean != mean:
        return "–"
    digits = 1 if abs(mean) >= 1 or finding.unit == "points" else 2  # points and percent, or a τ or a share
    interval = f" [{number(low, digits)}, {number(high, digits)}]" if low < high else ""
    return f"{number(mean, digits)}{interval} {finding.unit}"


def _covered(finding: Finding) -> str:
    """Which of the settings that the claim names the number is from."""
    if finding.named < 2:
        return ""
    idle, open_ = len(finding.idle), finding.named - finding.run
    less = [f"{idle} learned nothing"] * bool(idle) + [f"{open_} were not run"] * bool(open_)
    rest = f" ({', '.join(less)})" if less else ""
    return f"in {finding.run - idle} of {finding.named} settings{rest}"


def _settings(count: int) -> str:
    return "the setting" if count == 1 else f"all {count} settings"
