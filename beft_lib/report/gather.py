"""From stored runs to the report's files: results.csv, importance.csv, claims.csv, provenance.json, report.html."""

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd

from beft_lib import evidence, models, workspace
from beft_lib.chapters.ledger import CLAIMS
from beft_lib.chapters.registry import Needs
from beft_lib.evidence import power
from beft_lib.evidence.claims import judged, ledger, measurements, summary
from beft_lib.evidence.stats import number
from beft_lib.report import page
from beft_lib.report.profiles import Profile
from beft_lib.runs import frames, machine, probes, records, store, timing


def gather(*, profile: Profile, out: Path, needs: Mapping[str, Needs], outcomes: dict, published: bool) -> int:
    """results.csv, importance.csv, claims.csv, provenance.json, report.html; returns how many runs failed."""
    everything = [spec for own in needs.values() for spec in own.specs]
    if not published:
        kept = records.keep(filter(None, map(store.trusted, dict.fromkeys(everything))), out / "records")
        if kept.notice:
            print(kept.notice)
        if kept.differences:
            apart = f"{max(kept.differences):.1f} points apart at most"
            print(f"{len(kept.differences)} scores compared with those in records/: {apart}")
    results, scores = frames.sorted_results(everything), frames.importance_scores(everything)
    compared, timings = _read(needs)
    if not published:
        for measured in (one for own in timings.values() for one in own):
            timing.keep(measured, out / "records")
        probes.keep({spec.model for spec in everything}.union(*(own.probed for own in needs.values())), out / "records")
    verdicts = ledger(judged(CLAIMS, compared, timings))
    for name, frame in (("results", results), ("importance", scores), ("claims", verdicts)):
        workspace.write_whole(out / f"{name}.csv", frame.to_csv(index=False))
    ended = results.drop_duplicates("run_id").status.value_counts()
    provenance = {
        "profile": profile.name,
        "source": profile.source.partition(":")[0],
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "published records": published,
        "notebooks": outcomes,
        "data": {spec.task: spec.data for spec in everything},
        "weights": {spec.model: spec.weights for spec in everything},
        "runs": {status: int(ended.get(status, 0)) for status in ("done", "failed")},
        "machine": machine.describe() | {"threads": max(1, workspace.cores() // workspace.workers())},
    }
    workspace.write_whole(out / "provenance.json", json.dumps(provenance, indent=1, ensure_ascii=False) + "\n")
    chapters = [_chapter(out, cell.name, outcomes.get(cell.name)) for cell in profile.cells]
    page.render(
        out,
        title="BEFT: which bias to tune",
        profile=profile.title,
        lead=_lead(profile, compared, results),
        chapters=chapters,
        tables=_verdicts(verdicts),
        provenance=provenance,
        notices=_notices(profile),
    )
    return provenance["runs"]["failed"]


def _chapter(out: Path, name: str, outcome: dict | None):
    if outcome is not None and outcome["status"] == "to come":
        return page.Chapter(name, None, "to come")
    copy = out / "notebooks" / f"{name}.ipynb"
    if outcome is None or not copy.is_file():
        return page.Chapter(name, None, "not run", None, None)
    return page.Chapter(name, copy, outcome["status"], outcome["error"], outcome["seconds"])


def _lead(profile: Profile, compared: dict, results) -> str:
    """What the report rests on, in two sentences."""
    settings = {(c.model, c.task, c.regime) for own in compared.values() for c in own}
    seeds = {seed for own in compared.values() for c in own for _, seed in c.specs}
    which = ", ".join(dict.fromkeys(models.title(model) for model, _, _ in sorted(settings)))
    count = len({task for _, task, _ in settings})
    return (
        f"A companion to *BEFT: Bias-Efficient Fine-Tuning of Language Models*: {results.run_id.nunique()} runs of "
        f"{which} on {count} {'toy ' if profile.source == 'bundled' else ''}tasks in {len(settings)} settings, over "
        f"{len(seeds)} seeds. Intervals are 95 %, over what each table says."
    )


def plan_power(needs: Mapping[str, Needs]):
    """What would decide each claim that is undecided, as a table, cheapest first (see `evidence.power`)."""
    compared, timings = _read(needs)
    return power.table(judged(CLAIMS, compared, timings))


def _notices(profile: Profile) -> list[str]:
    """What a reader must know before any number."""
    said = [profile.notice] if profile.notice and profile.source == "bundled" else []
    if profile.absent:
        left_out = ", ".join(map(models.title, profile.absent))
        said.append(
            f"The published records have no runs of {left_out}, so this report does not show what profile "
            f"{profile.name} asks of it; ./run_all.sh {profile.name} makes them."
        )
    return said


def _read(needs: Mapping[str, Needs]) -> tuple[dict, dict]:
    """What is stored of it: comparisons, and timings, by the name of a notebook's execution."""
    compared = {name: evidence.compare_groups(own.groups) for name, own in needs.items()}
    return compared, {name: list(filter(None, map(timing.stored, own.timings))) for name, own in needs.items()}


def _verdicts(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The ledger for readers: counts by question, then a table a question with a line a claim."""
    title = f"The paper's claims, judged by these runs: {len(rows)} rows from {measurements(rows)} measurements"
    by_question = {str(question): _readable(own) for question, own in rows.groupby("question", sort=False)}
    return {title: summary(rows)} | by_question


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Claims as a few columns: effects with their interval and unit, if they have a spread; why, and where."""

    def effect(row) -> str:
        if row.effect != row.effect or row.effect is None:
            return "–"
        digits = 1 if abs(row.effect) >= 1 or row.unit == "points" else 2  # points and percent, or a τ or a share
        interval = f" [{number(row.low, digits)}, {number(row.high, digits)}]" if row.low < row.high else ""
        return f"{number(row.effect, digits)}{interval} {row.unit}"

    def said(*parts) -> str:
        return "; ".join(part for part in parts if isinstance(part, str) and part)

    rows = [
        {
            "claim": f"{row.claim} ({row.section})",
            "model": row.model,
            "verdict": row.verdict,
            "effect [95 %]": effect(row),
            "why": said(row.reason, row.n if row.n != "0" else "", row.scope),
            "the paper": row.paper,
            "evidence": row.evidence,
        }
        for row in frame.itertuples()
    ]
    return pd.DataFrame(rows).fillna("")
