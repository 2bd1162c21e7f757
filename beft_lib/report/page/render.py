"""One self-contained HTML report out of executed notebooks: opens from a file, loads nothing."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import nbformat
import pandas as pd
from markupsafe import Markup
from nbconvert.filters.ansi import strip_ansi

from beft_lib.workspace import write_whole

from . import markdown, outputs
from .outline import Anchors, Outline, slug
from .tables import from_frame

STATUSES = ("done", "failed", "not run", "to come")
ABSENT = ("not run", "to come")
# Cells that papermill adds to a failed notebook; the report says it in its own way.
_GENERATED = {"papermill-error-cell-tag"}
# What reading a notebook raises that is absent, cut off or no notebook at all.
_UNREADABLE = (OSError, ValueError, KeyError, AttributeError, nbformat.ValidationError)


@dataclass(frozen=True)
class Chapter:
    """One notebook of the report, or one cell of a notebook's matrix (`01_bias_selection__bert_low`)."""

    name: str
    path: Path | None  # the executed copy; may end early when the run failed
    status: str  # one of `STATUSES`
    error: str | None = None  # a short reason
    seconds: float | None = None

    def __post_init__(self):
        if self.status not in STATUSES:
            raise ValueError(f"chapter {self.name!r}: status {self.status!r} is not one of {', '.join(STATUSES)}")


@dataclass
class _Section:
    """A chapter as the template takes it."""

    chapter: Chapter
    anchor: str
    title: Markup
    variant: str
    body: Markup = Markup("")
    traceback: Markup = Markup("")
    entries: list[tuple[int, str, Markup]] = field(default_factory=list)


def render(
    out: Path,
    *,
    title: str,
    profile: str,
    lead: str,
    chapters: Sequence[Chapter],
    tables: Mapping[str, pd.DataFrame],
    provenance: Mapping[str, object],
    notices: Sequence[str] = (),
    date: str | None = None,
) -> Path:
    """Write the report to `out` (a file, or a folder that gets `report.html`) in one step; returns its path.

    A chapter whose notebook cannot be read is shown as failed, never left out. `tables` come before the
    chapters, under their keys as headings. `provenance` may nest mappings and sequences. `date` is now unless
    given.

    Figures: a `display_data` output with `image/svg+xml` or `image/png` (SVG wins) and
    `metadata={"alt": what it shows, "caption": its legend}`, on the output or under its MIME type; HTML
    tables take `caption` likewise. A formula in a caption is written `$b_v$`.
    """
    out = Path(out)
    path = out if out.suffix.lower() in (".html", ".htm") else out / "report.html"
    anchors = Anchors({"top", "contents", "main", "status", "not-run", "provenance", "show-code"})
    addresses = {c.name: anchors.take(slug(c.name)) for c in chapters}
    intro = Outline(anchors, "summary", title, take_title=False, level=1, resolve=_resolver(addresses))
    lead_html = Markup(markdown.render(lead, intro))
    ledgers = [_ledger(name, frame, anchors, _resolver(addresses)) for name, frame in tables.items()]
    sections = [_section(c, addresses, anchors) for c in chapters if c.status not in ABSENT]
    for section in sections:  # only now are all headings known
        section.body = _mend_links(section, anchors)
    missing = [
        _Section(c, addresses[c.name], Markup.escape(_title(c.name)), _variant(c.name))
        for c in chapters
        if c.status in ABSENT
    ]
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(duration=_duration, inline=lambda text: Markup(markdown.inline(str(text))))
    script = _resource("page.js")
    html = environment.from_string(_resource("page.html.j2")).render(
        title=title,
        profile=profile,
        date=date or f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        notices=notices,
        lead=lead_html,
        ledgers=ledgers,
        sections=sections,
        missing=missing,
        provenance=provenance,
        failed=[s for s in sections if s.chapter.status == "failed"],
        seconds=sum(c.seconds or 0 for c in chapters),
        css=Markup(_resource("page.css")),
        js=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_whole(path, html.encode("utf-8", "replace"))
    return path


def _section(chapter: Chapter, addresses: Mapping[str, str], anchors: Anchors) -> _Section:
    anchor = addresses[chapter.name]
    title, variant = _title(chapter.name), _variant(chapter.name)
    outline = Outline(anchors, anchor, f"{title} ({variant})" if variant else title, resolve=_resolver(addresses))
    cells, problem = _cells(chapter)
    if problem:
        chapter = replace(chapter, status="failed", error="; ".join(filter(None, [chapter.error, problem])))
    chapter = replace(chapter, error=strip_ansi(chapter.error) if chapter.error else None)
    body, traceback = [], ""
    for cell in cells:
        if _GENERATED & set(cell.get("metadata", {}).get("tags", [])):
            continue
        source = outputs.joined(cell.get("source", ""))
        if cell.get("cell_type") == "markdown":
            body.append(markdown.render(source, outline, cell.get("attachments")))
        elif cell.get("cell_type") == "code":
            results = cell.get("outputs", [])
            body += [_code(source, cell.get("execution_count")), outputs.render(results, outline)]
            traceback = next((outputs.traceback(o) for o in results if o.get("output_type") == "error"), traceback)
    return _Section(
        chapter,
        anchor,
        Markup(outline.title or markdown.inline(title)),
        variant,
        Markup("\n".join(filter(None, body))),
        Markup(traceback if chapter.status == "failed" else ""),
        [(level, target, Markup(label)) for level, target, label in outline.entries],
    )


def _cells(chapter: Chapter) -> tuple[list, str | None]:
    if chapter.path is None:
        return [], None if chapter.status == "failed" else "there is no executed notebook to show"
    try:
        return nbformat.read(chapter.path, as_version=4).cells, None
    except _UNREADABLE as e:
        return [], f"the executed notebook {chapter.path.name} could not be read ({type(e).__name__})"


def _code(source: str, count: int | None) -> str:
    if not source.strip():
        return ""
    label = f"code [{count}]" if count else "code"
    return f'<details class="code"><summary>{label}</summary>{markdown.code_block(source)}</details>'


def _ledger(name: str, frame: pd.DataFrame, anchors: Anchors, resolve) -> dict[str, Any]:
    """A table before the chapters; the name of a notebook in it leads to its chapter."""

    def link(stem: re.Match[str]) -> str:
        anchor = resolve(stem[0])
        return f'<a href="#{anchor}">{stem[0]}</a>' if anchor else stem[0]

    outline = Outline(anchors, slug(name), name)
    html = re.sub(r"(?<![\w#/.\"-])\d\d_\w+", link, from_frame(frame, outline))
    return {"anchor": anchors.take(slug(name)), "title": name, "html": Markup(html)}


def _resolver(addresses: Mapping[str, str]):
    """Links between notebooks: to the chapter of that name, or to the first of its matrix."""

    def resolve(stem: str) -> str | None:
        return next((a for name, a in addresses.items() if stem in (name, name.partition("__")[0])), None)

    return resolve


def _mend_links(section: _Section, anchors: Anchors) -> Markup:
    """A link to a heading that is not there leads to its chapter, else to the linking chapter itself."""

    def mend(link: re.Match[str]) -> str:
        nearest = (link[1], link[1].rpartition("--")[0], section.anchor)
        return f'<a href="#{next(a for a in nearest if a in anchors)}"'

    return Markup(re.sub(r'<a href="#([^"]+)"', mend, section.body))


def _title(name: str) -> str:
    words = re.sub(r"^\d+[_-]", "", name.partition("__")[0]).replace("_", " ").strip() or name
    return words[:1].upper() + words[1:]


def _variant(name: str) -> str:
    return name.partition("__")[2].replace("__", " · ").replace("_", " ")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _resource(name: str) -> str:
    return files("beft_lib.report.page").joinpath(name).read_text(encoding="utf-8")
