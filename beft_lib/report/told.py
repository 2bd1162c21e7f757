"""What the page tells of judged claims: the questions with their answers, and the rows of the ledger."""

from collections.abc import Mapping, Sequence

import pandas as pd

from beft_lib.chapters import answers
from beft_lib.chapters.exhibits import LABELS
from beft_lib.chapters.questions import QUESTIONS
from beft_lib.evidence.claims import Judged, measurements, summary
from beft_lib.evidence.claims.finding import NOTHING_LEARNED, UNDECIDED
from beft_lib.report.page.content import Answer, Claim, Question
from beft_lib.report.page.outline import Anchors, slug


def questions(found: Sequence[Judged], ledger: pd.DataFrame) -> list[Question]:
    """The eight questions. `ledger`: the rows of `claims.csv`, one for each that was judged."""
    told = answers.answers(found)
    places, rows = Anchors(), []
    for one, row in zip(found, ledger.to_dict("records"), strict=True):
        rows.append((one, _claim(one, row, places.take(slug(f"claim-{one.claim.id}-{one.model}")))))
    at = {(one.claim.id, one.name, claim.model): claim.id for one, claim in rows}
    made, counted = [], summary(ledger).set_index("question")
    for title in QUESTIONS:
        own = [(one, claim) for one, claim in rows if one.claim.question == title]
        made.append(
            Question(
                title,
                tuple(
                    Answer(at.get((a.claim, a.notebook, a.model), ""), a.verdict, a.word, a.text, a.notebook)
                    for a in told[title]
                ),
                {str(verdict): int(count) for verdict, count in counted.loc[title].items() if count},
                gathered([one for one, _ in own]),
                tuple(claim for _, claim in own),
            )
        )
    return made


def about(ledger: pd.DataFrame) -> str:
    """How to read the ledger, and how many numbers it rests on."""
    return (
        "A line is one claim on one model; it opens to the rule, the reason and the evidence. "
        f"The {len(ledger)} rest on {measurements(ledger)} measurements; those that repeat a number name the same."
    )


def gathered(found: Sequence[Judged]) -> str:
    """How many of these claims are undecided, and why most of them are: "" where all are decided."""
    findings = [one.finding for one in found]
    if all(finding is None for finding in findings) and any(one.toys for one in found):
        return answers.TOY
    undecided = [finding for finding in findings if finding is None or finding.undecided]
    if not undecided:
        return ""
    there = [finding for finding in undecided if finding is not None]
    run = {_setting(c) for finding in there for c in (*finding.rests_on, *finding.idle)}
    idle = {_setting(c) for finding in there for c in finding.idle}
    parts = [f"{len(undecided)} of {len(found)} claims are undecided"]
    if idle:
        parts.append(f"in {len(idle)} of the {len(run | idle)} settings behind them nothing was learned")
    if without := sum(finding is None for finding in undecided):
        toys = any(one.toys for one in found)
        parts.append(f"{without} {'are not judged by toy data' if toys else 'would need runs that were not made'}")
    if elsewhere := sum(one.claim.only_of not in (None, one.model) and one.finding is not None for one in found):
        parts.append(f"{elsewhere} are about one model's own ranking, which was not run")
    return "; ".join(parts) + "."


def _setting(comparison) -> tuple:
    return comparison.model, comparison.task, comparison.regime, comparison.n_train, comparison.variant


def _claim(one: Judged, row: Mapping, place: str) -> Claim:
    """A row of the ledger for readers."""
    text = {key: "" if value != value or value is None else str(value) for key, value in row.items()}
    rule = one.claim.rule
    notes = {
        "Why": text["reason"],
        "What was judged": "; ".join(filter(None, [text["n"] if text["n"] != "0" else "", text["scope"]])),
        "The paper": text["paper"],
        "Decided by": rule,
        "Evidence": text["evidence"],
    }
    settings = one.finding.rests_on if one.finding else ()
    return Claim(
        place,
        text["claim"],
        text["section"],
        text["model"],
        text["verdict"],
        text["paper"],
        answers.effect(one.finding) if one.finding and text["verdict"] != NOTHING_LEARNED else "–",
        _short(one, text["reason"]),
        one.name,
        {term: said for term, said in notes.items() if said},
        LABELS.get(one.claim.notebook, {}).get(one.claim.shown, ()),
        tuple(dict.fromkeys((c.title, c.regime) for c in settings)),
    )


def _short(one: Judged, reason: str) -> str:
    """Why, in a few words."""
    finding = one.finding
    if finding is not None and finding.verdict == NOTHING_LEARNED:
        return f"nothing learned in {len(finding.idle)} of {finding.run} settings run"
    first = reason.partition(";")[0]
    if finding is not None and finding.verdict in UNDECIDED and finding.named > 1:
        return f"{finding.run - len(finding.idle)} of {finding.named} settings; {first.rpartition('settings): ')[2]}"
    return first
