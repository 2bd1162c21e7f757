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
    """A claim that answers its question, and a sentence that tells its number (`{effect}`)."""

    claim: str
    tells: str


LEADS: Mapping[str, tuple[Lead, ...]] = {
    questions.ORDER: (
        Lead("value-beats-query", "b_v minus b_q is {effect}"),
        Lead("value-beats-query-other-encoders", "b_v minus b_q is {effect}"),
        Lead("query-beats-key", "b_q minus b_k is {effect}"),
    ),
    questions.FINDS: (
        Lead("projection-selects-best", "the term that it ranks first minus the next is {effect}"),
        Lead("projection-loses-less-than-fisher", "its choice minus that of Fisher is {effect}"),
    ),
    questions.RIVALS: (
        Lead("magnitude-selects-query-sst2", "Magnitude selects b_q on SST-2 in {effect}"),
        Lead("fisher-static", "Fisher ranks alike from low to more data in {effect}"),
    ),
    questions.FOLLOWS: (Lead("projection-follows", "the gaps in score and in performance agree with a {effect}"),),
    questions.BIGGER: (
        Lead("value-matches-full", "b_v minus all parameters is {effect}"),
        Lead("value-is-faster", "the fastest of the other methods takes {effect}"),
    ),
    questions.MERGING: (
        Lead("value-is-task-specific", "a task's own b_v minus the other task's is {effect}"),
        Lead("merging-helps", "the average of both minus the other task's b_v is {effect}"),
    ),
    questions.RECIPE: (
        Lead("score-gap-follows-rate", "a higher rate makes the gap between b_v and b_q on CB {effect}"),
        Lead("value-improves-with-epochs", "more epochs give b_v on CB {effect}"),
    ),
    questions.DECODERS: (
        Lead("value-best-decoders", "b_v minus b_q is {effect}"),
        Lead("value-matches-lora", "b_v minus LoRA is {effect}"),
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
    judged.sort(key=lambda pair: (leads.index(pair[0]), -_kept(pair[1])))  # of a claim, the model that tells most
    if judged:
        told = {(said.word, said.text): said for lead, one in judged[::-1] for said in [_sentence(lead, one)]}
        return list(told.values())[::-1][:MOST]  # what two leads say alike is said once
    if any(one.toys for _, one in own):
        return [Sentence("", "", "", NOT_TESTED, "", TOY)]
    lead, one = own[0]
    return [Sentence(lead.claim, "", "", NOT_TESTED, "Not tested", f"needs {one.claim.needs}.")]


def _sentence(lead: Lead, one: Judged) -> Sentence:
    finding = one.finding
    assert finding is not None, "only what was judged is told"
    model = one.model if one.claim.printed else models.title(one.model)
    if finding.verdict == NOTHING_LEARNED:
        idle = len(finding.idle)
        which = f"any of the {idle} settings that were run" if idle > 1 else "the one setting that was run"
        text = f"nothing was learned in {which} ({model})."
    else:
        told = effect(finding)
        if finding.unit.startswith("Kendall"):
            told = f"{finding.unit} of {told.removesuffix(finding.unit).strip()}"
        text = f"{lead.tells.format(effect=told)} on {model}{_covered(finding)}."
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


def _kept(one: Judged) -> int:
    """In how many settings something was learned."""
    return one.finding.run - len(one.finding.idle) if one.finding else 0


def _covered(finding: Finding) -> str:
    """Which of the settings that the claim names the number is from, as the end of a sentence."""
    if finding.named < 2:
        return ""
    idle, absent = len(finding.idle), finding.named - finding.run
    less = [f"{idle} learned nothing"] * bool(idle) + [f"{absent} not run"] * bool(absent)
    rest = f" ({', '.join(less)})" if less else ""
    return f", in {finding.run - idle} of {finding.named} settings{rest}"
