"""From stored runs to the report's files: results.csv, importance.csv, claims.csv, provenance.json, report.html."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd

from beft_lib import evidence, models, tasks, workspace
from beft_lib.chapters import headline, paper, registry
from beft_lib.chapters.exhibits import LABELS
from beft_lib.chapters.ledger import CLAIMS
from beft_lib.chapters.registry import Needs
from beft_lib.evidence import power
from beft_lib.evidence.claims import Judged, judged, ledger
from beft_lib.report import page, show, told
from beft_lib.report.page.content import Chapter, Drawing, Paper
from beft_lib.report.profiles import Cell, Profile
from beft_lib.runs import frames, machine, probes, records, store, timing

SOURCES = {
    "hub": "the Hugging Face Hub, at the revisions below",
    "local": "a folder of this machine with copies of the data sets below",
    "bundled": "toy data that this project generates",
}
TOYS = "Toy data, generated for this project: nothing of this chapter is judged."


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
    found = judged(CLAIMS, compared, timings)
    verdicts = ledger(found)
    for name, frame in (("results", results), ("importance", scores), ("claims", verdicts)):
        workspace.write_whole(out / f"{name}.csv", frame.to_csv(index=False))
    ended = results.drop_duplicates("run_id").status.value_counts()
    provenance = {
        "profile": profile.name,
        "source": profile.source.partition(":")[0],
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "published records": published,
        "notebooks": {cell.name: outcomes[cell.name] for cell in profile.cells if cell.name in outcomes},
        "data": {spec.task: spec.data for spec in everything},
        "weights": {spec.model: spec.weights for spec in everything},
        "runs": {status: int(ended.get(status, 0)) for status in ("done", "failed")},
        "machine": machine.describe() | {"threads": max(1, workspace.cores() // workspace.workers())},
    }
    workspace.write_whole(out / "provenance.json", json.dumps(provenance, indent=1, ensure_ascii=False) + "\n")
    write_page(profile, out, compared, found, results, provenance)
    return provenance["runs"]["failed"]


def write_page(
    profile: Profile, out: Path, compared: dict, found: Sequence[Judged], results: pd.DataFrame, provenance: dict
) -> None:
    """report.html, from executed notebooks and what was judged; the quickstart, on toy data, comes last."""
    verdicts = ledger(found)
    last = sorted(profile.cells, key=lambda cell: registry.trains_own_data(cell.notebook))
    page.render(
        out,
        title="BEFT: which bias to tune",
        profile=profile.title,
        paper=Paper(*paper.CITED),
        lead=_lead(profile, compared, results),
        questions=told.questions(found, verdicts),
        about=told.about(verdicts),
        headline=_headline(profile, compared),
        chapters=[_chapter(out, cell, provenance["notebooks"].get(cell.name)) for cell in last],
        labels=LABELS,
        provenance=_named(provenance),
        notices=_notices(profile),
        repository=_repository(),
    )


def _chapter(out: Path, cell: Cell, outcome: dict | None):
    note = TOYS if registry.trains_own_data(cell.notebook) and cell.parameters.get("train") == "example" else ""
    if outcome is not None and outcome["status"] == "to come":
        return Chapter(cell.name, None, "to come", note=note)
    copy = out / "notebooks" / f"{cell.name}.ipynb"
    if outcome is None or not copy.is_file():
        return Chapter(cell.name, None, "not run", note=note)
    return Chapter(cell.name, copy, outcome["status"], outcome["error"], outcome["seconds"], note)


def _headline(profile: Profile, compared: dict) -> Drawing | None:
    """The figure of the first screen, filed beside those of the notebooks; None if nothing was learned anywhere."""
    if not (chosen := headline.settings(compared)):
        return None
    figure = headline.figure(chosen)
    svg, numbers = show.filed(figure, "headline")
    toys = profile.source == "bundled"
    return Drawing(show.address(svg), headline.caption(chosen, toys), headline.described(chosen), numbers)


def _named(provenance: dict) -> dict:
    """The provenance for readers: data by the name of their data set, and how each chapter ended."""
    source = provenance["source"]

    def origin(task: str) -> str:
        hub = tasks.get(task).hub
        revision = f" at {hub.revision[:12]}" if hub and source == "hub" else ""
        return f"{hub.path} {hub.name}{revision}, " if hub else ""

    ended = {
        name: one["status"] + (f", {one['seconds']:.0f} s" if one["seconds"] is not None else "")
        for name, one in provenance["notebooks"].items()
    }
    data = {task: f"{origin(task)}{version}" for task, version in provenance["data"].items()}
    commit = provenance["machine"].get("commit") or "unknown: not run from a checkout"
    changed = ", with changes that were not committed" if provenance["machine"].get("dirty") else ""
    told = {"commit": f"{commit}{changed}", "source": SOURCES[source], "notebooks": ended, "data": data}
    return {"commit": ""} | provenance | told


def _repository() -> str:
    """owner/name of the repository on GitHub, if $BEFT_REPOSITORY says so: notebooks can then be opened on Colab."""
    found = re.search(r"github\.com[/:]([\w.-]+/[\w-]+)", os.environ.get("BEFT_REPOSITORY", ""))
    return found[1] if found else ""


def _lead(profile: Profile, compared: dict, results: pd.DataFrame) -> str:
    """What the paper says, and what the report rests on."""
    settings = {(c.model, c.task, c.regime) for own in compared.values() for c in own}
    seeds = {seed for own in compared.values() for c in own for _, seed in c.specs}
    which = ", ".join(dict.fromkeys(models.title(model) for model, _, _ in sorted(settings)))
    count, toys = len({task for _, task, _ in settings}), profile.source == "bundled"
    return (
        "The paper tunes one kind of attention bias, b_q, b_k or b_v, and selects it by how far each turns while all "
        "biases are tuned. Here its experiments are run again on models that fit this machine: "
        f"{results.run_id.nunique()} runs of {which} on {count} {'toy ' if toys else ''}tasks in {len(settings)} "
        f"settings, over {len(seeds)} seeds. {'' if toys else 'Every claim is judged. '}Brackets are 95 % intervals."
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
