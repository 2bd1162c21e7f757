"""The headings of the report: one numbering of levels, one set of anchors, over all chapters."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .exhibits import Exhibit


def slug(text: str) -> str:
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-") or "section"


class Anchors(set):
    """The ids of the page; `take` hands out each only once."""

    def take(self, wanted: str) -> str:
        anchor, n = wanted, 1
        while anchor in self:
            n += 1
            anchor = f"{wanted}-{n}"
        self.add(anchor)
        return anchor


@dataclass
class Outline:
    """The headings of one chapter, in reading order.

    `current` is the text of the latest: the name of last resort for a figure. A notebook's first heading of
    level 1 is the chapter's title and is taken out of the text when `take_title`; the others move one level
    down, to stand beneath it, without a level left out.
    """

    anchors: Anchors
    name: str
    current: str
    take_title: bool = True
    title: str | None = None  # HTML
    entries: list[tuple[int, str, str]] = field(default_factory=list)  # level, anchor, HTML
    resolve: Callable[[str], str | None] = lambda target: None  # notebook file name → anchor
    level: int = 2
    exhibits: "Mapping[str, Exhibit]" = field(default_factory=dict)  # of the chapter, by their key
    link: Callable[[str], str] = lambda html: html  # puts links into running text

    def heading(self, level: int, markup: str, text: str) -> str:
        self.current = text or self.current
        if level == 1 and self.take_title and self.title is None:
            self.title = markup
            return ""
        self.level = min(max(level + 1, 3 if self.take_title else 2), self.level + 1, 6)
        anchor = self.anchors.take(f"{self.name}--{slug(text)}")
        self.entries.append((self.level, anchor, re.sub(r"</?a\b[^>]*>", "", markup)))
        return f'<h{self.level} id="{anchor}">{markup}</h{self.level}>'
