"""One self-contained HTML report out of executed notebooks: opens from a file, loads nothing."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from html import escape
from importlib.resources import files
from pathlib import Path

import jinja2
import nbformat
from markupsafe import Markup
from nbconvert.filters.ansi import strip_ansi

from beft_lib import models
from beft_lib.workspace import write_whole

from . import exhibits, glossary, markdown, outputs
from .content import ABSENT, Answer, Chapter, Claim, Drawing, Paper, Question
from .exhibits import Exhibits
from .outline import Anchors, Outline, slug
from .references import Linker

# Cells that papermill adds to a failed notebook; the report says it in its own way.
_GENERATED = {"papermill-error-cell-tag"}
_FOLDED = ("Setup", "Parameters")  # headings of what a reader of results can do without
_ANSWER = "answer"  # tags a cell whose sentences open the chapter
# What reading a notebook raises that is absent, cut off or no notebook at all.
_UNREADABLE = (OSError, ValueError, KeyError, AttributeError, nbformat.ValidationError)
_OWN = (
    "top main contents status not-run provenance show-code theme answers ledger index glossary headline filters found"
)


@dataclass
class _Section:
    """A chapter as the template takes it."""

    chapter: Chapter
    anchor: str
    title: Markup
    short: str
    variant: str
    body: Markup = Markup("")
    traceback: Markup = Markup("")
    entries: list[tuple[int, str, Markup]] = field(default_factory=list)
    answers: list[tuple[Question, Sequence[Answer]]] = field(default_factory=list)
    opening: Markup = Markup("")  # what the notebook itself opens with


def render(
    out: Path,
    *,
    title: str,
    profile: str,
    lead: str,
    chapters: Sequence[Chapter],
    provenance: Mapping[str, object],
    paper: Paper | None = None,
    questions: Sequence[Question] = (),
    about: str = "",
    headline: Drawing | None = None,
    labels: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
    notices: Sequence[str] = (),
    repository: str = "",
    date: str | None = None,
) -> Path:
    """Write the report to `out` (a file, or a folder that gets `report.html`) in one step; returns its path.

    First the questions with their answers and `headline`, then the ledger of all claims, which begins with `about`, the
    chapters in the order given, the index of figures and tables, the glossary and the provenance, which may nest
    mappings and sequences. A chapter whose notebook cannot be read is shown as failed, never left out. `labels`: of
    each notebook, what the paper calls its figures and tables. `repository`: owner/name on GitHub, if known. `date` is
    now unless given.

    What `show.show` and `show.show_table` displayed is numbered. Other figures: a `display_data` output with
    `image/svg+xml` or `image/png` (SVG wins) and `metadata={"alt": what it shows, "caption": its legend}`, on the
    output or under its MIME type; HTML tables take `caption` likewise. A formula in a caption is written `$b_v$`.
    """
    out = Path(out)
    path = out if out.suffix.lower() in (".html", ".htm") else out / "report.html"
    claims = [claim for question in questions for claim in question.claims]
    anchors = Anchors({*_OWN.split(), *map(glossary.anchor, glossary.GLOSSARY), *(claim.id for claim in claims)})
    anchors |= {f"question-{place}" for place in range(1, len(questions) + 1)}
    addresses = {c.name: anchors.take(slug(c.name)) for c in chapters}
    intro = Outline(anchors, "summary", title, take_title=False, level=1, resolve=_resolver(addresses))
    lead_html = Markup(markdown.render(lead, intro))
    shown = Exhibits(anchors, labels or {}, repository)
    sections = _sections(chapters, claims, addresses, anchors, shown, questions)
    html = _template(shown, addresses).render(
        title=title,
        profile=profile,
        date=date or f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        notices=notices,
        lead=lead_html,
        paper=paper,
        questions=questions,
        about=about,
        claims=claims,
        headline=headline,
        sections=sections,
        missing=[_missing(c, addresses[c.name]) for c in chapters if c.status in ABSENT],
        shown=list(shown),
        provenance=provenance,
        failed=[s for s in sections if s.chapter.status == "failed"],
        seconds=sum(c.seconds or 0 for c in chapters),
    )
    write_whole(path, html.encode("utf-8", "replace"))
    return path


def _template(shown: Exhibits, addresses: Mapping[str, str]) -> jinja2.Template:
    """The page's template, with the filters and the resources that it uses."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "duration": _duration,
        "inline": lambda text: Markup(markdown.inline(text)),
        "slug": slug,
        "evidence": lambda claim: _evidence(claim, shown, addresses),
        "download": lambda drawn: Markup(exhibits.download("headline", "the figure", drawn.data)),
    }
    script = _resource("page.js")
    environment.globals |= {
        "css": Markup(_resource("page.css")),
        "js": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "glossary": {glossary.anchor(word): (word, said) for word, said in glossary.GLOSSARY.items()},
    }
    return environment.from_string(_resource("page.html.j2"))


def _sections(
    chapters: Sequence[Chapter],
    claims: Sequence[Claim],
    addresses: Mapping[str, str],
    anchors: Anchors,
    shown: Exhibits,
    questions: Sequence[Question],
) -> list[_Section]:
    """The chapters that there is something of: all read and numbered before the first is written."""
    read = {c.name: _cells(c) for c in chapters if c.status not in ABSENT}
    there = [chapter for chapter in chapters if chapter.name in read]
    for chapter in there:
        shown.read(chapter, read[chapter.name][0])
    shown.back(claims)
    sections = [_section(c, *read[c.name], addresses, anchors, shown, questions) for c in there]
    for section in sections:  # only now are all headings known
        section.body = _mend_links(section, anchors)
    return sections


def _section(
    chapter: Chapter,
    cells: Sequence,
    problem: str | None,
    addresses: Mapping[str, str],
    anchors: Anchors,
    shown: Exhibits,
    questions: Sequence[Question],
) -> _Section:
    anchor = addresses[chapter.name]
    title, variant = _title(chapter.name), _variant(chapter.name)
    outline = Outline(anchors, anchor, f"{title} ({variant})" if variant else title, resolve=_resolver(addresses))
    outline.exhibits, outline.link = shown.of(chapter.name), Linker(shown.labelled(chapter.name))
    if problem:
        chapter = replace(chapter, status="failed", error="; ".join(filter(None, [chapter.error, problem])))
    chapter = replace(chapter, error=strip_ansi(chapter.error) if chapter.error else None)
    errors = [o for cell in cells for o in cell.get("outputs", []) if o.get("output_type") == "error"]
    own = [(q, [a for a in q.answers if a.chapter == chapter.name]) for q in questions]
    body = "\n".join(filter(None, _fold(_bodies(cells, outline))))
    return _Section(
        chapter,
        anchor,
        Markup(outline.title or markdown.inline(title)),
        title,
        variant,
        Markup(body),
        Markup(next(map(outputs.traceback, errors), "") if chapter.status == "failed" else ""),
        [(level, at, Markup(label)) for level, at, label in outline.entries if label not in _FOLDED],
        [(question, answers) for question, answers in own if answers],
        Markup("\n".join(_opening(cells, outline))),
    )


def _missing(chapter: Chapter, anchor: str) -> _Section:
    """A chapter of which there is nothing to show."""
    title = _title(chapter.name)
    return _Section(chapter, anchor, Markup.escape(title), title, _variant(chapter.name))


def _bodies(cells: Sequence, outline: Outline) -> Iterator[str]:
    """The cells as HTML, in order: text, code, what it has put out."""
    for cell in cells:
        if _GENERATED & set(cell.get("metadata", {}).get("tags", [])):
            continue
        source = outputs.joined(cell.get("source", ""))
        if cell.get("cell_type") == "markdown":
            yield outline.link(markdown.render(source, outline, cell.get("attachments")))
        elif cell.get("cell_type") == "code":
            yield _code(source, cell.get("execution_count"))
            yield outputs.render(cell.get("outputs", []), outline)


def _opening(cells: Sequence, outline: Outline) -> Iterator[str]:
    """The sentences of cells that are tagged as the chapter's answer."""
    for cell in cells:
        if _ANSWER in cell.get("metadata", {}).get("tags", []):
            for output in cell.get("outputs", []):
                if "text/markdown" in output.get("data", {}):
                    yield markdown.render(outputs.joined(output["data"]["text/markdown"]), outline)


def _fold(bodies: Iterator[str]) -> Iterator[str]:
    """Sections that `_FOLDED` names are put into a box that is closed, up to the next heading."""
    folded = False
    for body in bodies:
        heading = re.match(r"\s*(<h3[^>]*>(.*?)</h3>)", body)
        if folded and re.match(r"\s*<h[1-6]", body):
            folded = False
            yield "</details>"
        if heading and heading[2] in _FOLDED:
            folded = True
            yield f'<details class="fold"><summary>{heading[1]}</summary>'
            body = body[heading.end() :]
        yield body
    if folded:
        yield "</details>"


def _evidence(claim: Claim, shown: Exhibits, addresses: Mapping[str, str]) -> Markup:
    """Links from a claim to the figure or table that shows it, to its rows there, and to what else shows it."""
    there = [exhibit for key in claim.exhibits if (exhibit := shown.made.get((claim.chapter, key))) is not None]
    links = []
    for place, exhibit in enumerate(there):
        name = f"{exhibit.title} (the paper’s {exhibit.theirs})" if exhibit.theirs else exhibit.title
        links.append(f'<a class="ref" href="#{exhibit.anchor}">{escape(name)}</a>')
        rows = [(row, exhibit.rows[row]) for row in claim.rows if row in exhibit.rows] if place == 0 else []
        links += [f'<a href="#{at}">row {escape(task)}, {escape(regime)}</a>' for (task, regime), at in rows]
    if claim.chapter in addresses:
        links.append(f'<a href="#{addresses[claim.chapter]}">chapter {escape(claim.chapter)}</a>')
    return Markup(" · ".join(links))


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
    words = words.replace("glue", "GLUE").replace(" b v", " b_v")
    return words[:1].upper() + words[1:]


def _variant(name: str) -> str:
    """What tells executions of one notebook apart: the values of a profile's matrix, models by their titles."""
    values = name.split("__")[1:]
    return " · ".join(models.title(v) if v in models.CATALOGUE else v.replace("_", " ") for v in values)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _resource(name: str) -> str:
    return files("beft_lib.report.page").joinpath(name).read_text(encoding="utf-8")
