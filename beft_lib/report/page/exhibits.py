"""The figures and tables of the report: numbered through all chapters, each with what lies under it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import quote

from . import markdown
from .content import Chapter, Claim
from .outline import Anchors, slug

KINDS = {"fig": "Figure", "tab": "Table"}
_DRAWING = re.compile(r'<img src="(data:image/svg\+xml,[\w %!$\'()*+,./:;=?@\[\]^`{|}~-]+)"', re.ASCII)


@dataclass
class Exhibit:
    """One figure or table. `theirs`: what the paper calls it, "" if it has no such thing."""

    anchor: str
    kind: str  # "fig" or "tab"
    number: int
    name: str
    caption: str
    theirs: str
    notebook: str
    data: str  # CSV
    address: str = ""  # of the notebook, to run it elsewhere
    claims: list[Claim] = field(default_factory=list)
    rows: dict[tuple[str, str], str] = field(default_factory=dict)  # task and regime → id of the row

    @property
    def title(self) -> str:
        return f"{KINDS[self.kind]} {self.number}"

    @property
    def shaded(self) -> bool:
        """Whether it is a heat map, whose shades would not be told apart if their lightness were turned around."""
        return self.kind == "fig" and "value" in self.data.partition("\n")[0].split(",")

    @property
    def brief(self) -> str:
        """The first sentence of the caption, for a list."""
        return re.split(r"(?<!Fig)\. ", self.caption)[0].rstrip(".")

    @property
    def key(self) -> str:
        return f"{self.kind}-{self.name}"


def drawing(data: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """The address of the drawing in what `show.show` displayed, "" for anything else."""
    html = data.get("text/html", "")
    html = html if isinstance(html, str) else "".join(map(str, html))
    found = _DRAWING.search(html) if "name" in metadata and "alt" in metadata else None
    return found[1] if found else ""


class Exhibits:
    """All of a report, in the order of the page."""

    def __init__(self, anchors: Anchors, labels: Mapping[str, Mapping[str, Sequence[str]]], repository: str):
        self.anchors, self.labels, self.repository = anchors, labels, repository
        self.made: dict[tuple[str, str], Exhibit] = {}  # by chapter and key
        self.counts = dict.fromkeys(KINDS, 0)

    def read(self, chapter: Chapter, cells: Sequence) -> None:
        """Number what a chapter's cells have put out under a name."""
        for output in (output for cell in cells for output in cell.get("outputs", [])):
            metadata, data = output.get("metadata", {}), output.get("data", {})
            if isinstance(name := metadata.get("name"), str) and "text/html" in data:
                self._add(chapter, "fig" if drawing(data, metadata) else "tab", name, metadata)

    def _add(self, chapter: Chapter, kind: str, name: str, metadata: Mapping[str, Any]) -> None:
        key = f"{kind}-{name}"
        if (chapter.name, key) in self.made:
            return
        own = self.labels.get(chapter.notebook, {})
        label = next((label for label, keys in own.items() if key in keys), "")
        self.counts[kind] += 1
        self.made[chapter.name, key] = Exhibit(
            self.anchors.take(slug(f"{key}{chapter.name.removeprefix(chapter.notebook)}")),
            kind,
            self.counts[kind],
            name,
            _sentence(str(metadata.get("caption", "")).removeprefix(f"{label}: ")),
            label if re.match(r"(Fig\.|Table) \d", label) else "",
            chapter.notebook,
            str(metadata.get("data", "")),
            f"https://colab.research.google.com/github/{self.repository}/blob/main/notebooks/{chapter.notebook}.ipynb"
            if self.repository
            else "",
        )

    def of(self, chapter: str) -> dict[str, Exhibit]:
        """A chapter's, by key."""
        return {key: exhibit for (name, key), exhibit in self.made.items() if name == chapter}

    def labelled(self, chapter: str) -> dict[str, str]:
        """The ids of what the paper calls "Fig. 4": the chapter's own before another's, the first before the rest."""
        found: dict[str, str] = {}
        for mine in (True, False):
            for (name, _), exhibit in self._by_label():
                if (name == chapter) == mine:
                    found.setdefault(exhibit.theirs, exhibit.anchor)
        return found

    def _by_label(self) -> Iterator[tuple[tuple[str, str], Exhibit]]:
        """Those that the paper has too, as their label lists them."""
        for (chapter, key), exhibit in self.made.items():
            if exhibit.theirs and key == self.labels[exhibit.notebook][exhibit.theirs][0]:
                yield (chapter, key), exhibit

    def back(self, claims: Sequence[Claim]) -> None:
        """Tell each exhibit which claims rest on it."""
        for claim in claims:
            for key in claim.exhibits[:1]:
                if (exhibit := self.made.get((claim.chapter, key))) is not None:
                    exhibit.claims.append(claim)

    def __iter__(self) -> Iterator[Exhibit]:
        return iter(self.made.values())


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] if re.match(r"[a-z]{3}", text) else text


def legend(exhibit: Exhibit, id_: str = "") -> str:
    """The caption, which begins with the number: a link to the very place."""
    theirs = f' <span class="theirs">the paper’s {escape(exhibit.theirs)}</span>' if exhibit.theirs else ""
    number = f'<a class="number" href="#{exhibit.anchor}">{exhibit.title}</a>{theirs}'
    own = f' id="{id_}"' if id_ else ""
    return f"<figcaption{own}>{number} {markdown.inline(exhibit.caption)}</figcaption>"


def under(exhibit: Exhibit) -> str:
    """What lies under it: its numbers, the drawing, the notebook that made it, the claims that rest on it."""
    parts = []
    if exhibit.data:
        parts.append(download(exhibit.name, exhibit.title, exhibit.data))
    if exhibit.kind == "fig":
        parts.append(f'<button type="button" class="svg" hidden data-file="{escape(exhibit.name)}.svg">SVG</button>')
    parts.append(f"<span>made by <code>notebooks/{escape(exhibit.notebook)}.ipynb</code></span>")
    if exhibit.address:
        parts.append(f'<a href="{escape(exhibit.address)}">run it on Colab</a>')
    claims = ""
    if exhibit.claims:
        rows = "".join(
            f'<li><a href="#{c.id}">{markdown.inline(c.text)}</a> <span class="verdict '
            f'{slug(c.verdict)}">{escape(c.verdict)}</span></li>'
            for c in exhibit.claims
        )
        count = f"{len(exhibit.claims)} claim{'s' * (len(exhibit.claims) > 1)} judged here"
        claims = f'<details class="claims"><summary>{count}</summary><ul>{rows}</ul></details>'
    return f'<div class="under">{" ".join(parts)}{claims}</div>'


def download(name: str, title: str, data: str) -> str:
    """A link that holds the numbers, so that the page alone has them."""
    address = "data:text/csv;charset=utf-8," + quote(data, safe=" ,!'()*+-./:;=?@_~$")
    return (
        f'<a class="csv" download="{escape(name)}.csv" href="{address}">CSV<span class="unseen"> of {title}</span></a>'
    )
