"""HTML that a cell has put out, above all pandas tables: made safe, accessible and fit for a phone."""

import re
import secrets
from collections.abc import Callable
from html import escape

import bleach
import tinycss2
from bleach.css_sanitizer import CSSSanitizer
from bs4 import BeautifulSoup, Tag
from soupsieve import SelectorSyntaxError
from tinycss2.color3 import RGBA, parse_color

from . import exhibits
from .exhibits import Exhibit
from .formula import mathml
from .markdown import DOLLARS, TAGS, inline
from .narrow import WIDE, bind, mark_rows, narrow
from .outline import Outline

STYLES = (
    "background-color color font-style font-weight text-decoration white-space width "
    "border-bottom border-top border-left border-right padding-left"
).split()
_DROP = (
    "script style iframe object embed applet svg math link meta base form input button textarea select "
    "template noscript audio video"
)
_ATTRIBUTES = {"colspan", "rowspan", "scope", "class", "style"}
_NUMBER = re.compile(
    r"[-–—]?|nan|n/?a|[<>≤≥~≈±+−\[(\s-]*\d[\d\s.,eE+−–±×·%†‡§*^\[\]()/:-]*(?:s|ms|min|h|k|M|B|MB|GB)?",
    re.IGNORECASE,
)
_BACKGROUND = re.compile(r"background-color:([^;]+)", re.IGNORECASE)
_INK = re.compile(r"(?:^|(?<=[;\s]))color:([^;]+)", re.IGNORECASE)
_BLACK, _WHITE = RGBA(0.0, 0.0, 0.0, 1.0), RGBA(1.0, 1.0, 1.0, 1.0)
_GOOD = {"supported", "confirmed", "reproduced"}
_BAD = {"contradicted", "refuted", "not supported", "failed"}


def from_html(html: str, outline: Outline, caption: str | None = None, exhibit: Exhibit | None = None) -> str:
    """Safe HTML from a cell's `text/html`: each table in a scrolling box, with headers and a caption.

    The style sheet that a pandas Styler writes beside its table becomes style attributes, of `STYLES` only;
    ids, classes, scripts, handlers, pictures, and addresses other than plain links are dropped. Without
    `caption`, the table's own caption, else the nearest heading (unseen), is the caption. The first table is that
    of `exhibit`, if there is one.
    """
    soup = BeautifulSoup(html, "html.parser")
    _inline_styles(soup)
    _legible(soup)
    for tag in soup.find_all(_DROP.split()):
        tag.decompose()
    for tag in soup.find_all(True):
        tag.attrs.pop("class", None)
        if re.fullmatch("h[1-6]", tag.name):  # the order of headings is the notebook's
            tag.name = "p"
    kept: dict[str, str] = {}
    nonce = secrets.token_hex(8)  # no text of the table can name a token

    def keep(markup: str) -> str:
        kept[token := f"x{nonce}n{len(kept)}x"] = markup
        return token

    for n, table in enumerate(t for t in soup.find_all("table") if not t.find_parent("table")):
        own = table.find("caption")
        text = caption if caption and n == 0 else own.get_text(" ", strip=True) if own else ""
        if own:
            own.decompose()
        table.replace_with(keep(_figure(table, text, outline, exhibit if n == 0 else None, keep)))
    safe = _clean(str(soup)).strip()
    for token in reversed(kept):  # a table before the formulas inside it
        safe = safe.replace(token, kept[token])
    return f'<div class="html">{safe}</div>'


def _figure(table: Tag, caption: str, outline: Outline, exhibit: Exhibit | None, keep: Callable[[str], str]) -> str:
    """One table in its box, with its caption; `keep` puts HTML of our own past the cleaning."""
    _describe(table)
    name = outline.anchors.take(f"{outline.name}--table")
    for node in table.find_all(string=DOLLARS):
        node.replace_with(DOLLARS.sub(lambda m: keep(mathml(m[1])), node))
    if exhibit is None:
        unseen = "" if caption else ' class="unseen"'
        legend = inline(caption) if caption else escape(f"Table: {outline.current}")
        head, foot, own = f'<figcaption id="{name}"{unseen}>{legend}</figcaption>', "", ""
    else:
        said = narrow(table)
        bind(table)
        mark_rows(table, exhibit, keep)
        head = exhibits.legend(exhibit, name) + (f'<p class="said">{escape(said)}</p>' if said else "")
        foot, own = exhibits.under(exhibit), f' id="{exhibit.anchor}"'
    dense = " dense" if len(table.select("tr:first-child > *")) >= WIDE else ""
    styled = " styled" if table.find(style=re.compile("color")) else ""
    table_html = _clean(str(table)).replace("<table>", f'<table aria-labelledby="{name}">', 1)
    return (
        f'<figure class="table{" exhibit" if exhibit else ""}"{own}>{head}'
        f'<div class="scroll{styled}{dense}" tabindex="0" role="group" aria-labelledby="{name}">{table_html}</div>'
        f"{foot}</figure>"
    )


def _clean(html: str) -> str:
    return bleach.clean(
        html,
        tags=TAGS | {"div", "tfoot", "caption", "details", "summary"},
        strip=True,
        attributes=_allowed,
        protocols={"http", "https", "mailto"},
        css_sanitizer=CSSSanitizer(allowed_css_properties=STYLES),
    )


def _allowed(tag: str, name: str, value: str) -> bool:
    if tag == "a":
        return name == "href" and bool(re.match(r"https?:|mailto:", value))
    if tag in ("td", "th"):
        return name in _ATTRIBUTES and (name != "style" or "url" not in value.lower())
    return name == "style" and tag in ("span", "tr", "div") and "url" not in value.lower()


def _inline_styles(soup: BeautifulSoup) -> None:
    by_id = {str(tag["id"]): tag for tag in soup.find_all(id=True)}
    for sheet in soup.find_all("style"):
        for rule in tinycss2.parse_stylesheet(sheet.string or "", skip_comments=True, skip_whitespace=True):
            if rule.type != "qualified-rule":
                continue
            declarations = tinycss2.serialize(rule.content).strip().rstrip(";")
            for selector in tinycss2.serialize(rule.prelude).split(","):
                for tag in _select(soup, by_id, selector.strip()):
                    tag["style"] = "; ".join(filter(None, [declarations, str(tag.get("style", "")).rstrip("; ")]))


def _legible(soup: BeautifulSoup) -> None:
    """Black or white text on a coloured cell whose own text colour falls short of a contrast of 4.5 (AA)."""
    for cell in soup.find_all(style=_BACKGROUND):
        style = str(cell["style"])
        found = _BACKGROUND.search(style)
        assert found is not None, "the cell was found by its background"
        ground = parse_color(found[1].strip())
        ink = _INK.search(style)
        given = parse_color(ink[1].strip()) if ink else None
        if isinstance(ground, RGBA) and not (isinstance(given, RGBA) and _contrast(given, ground) >= 4.5):
            best = "#000000" if _contrast(_BLACK, ground) >= _contrast(_WHITE, ground) else "#ffffff"
            cell["style"] = f"{_INK.sub(';', style)}; color: {best}"


def _contrast(a: RGBA, b: RGBA) -> float:
    def light(colour: RGBA) -> float:
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour[:3]]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    return max(light(a), light(b)) / min(light(a), light(b))


def _select(soup: BeautifulSoup, by_id: dict[str, Tag], selector: str) -> list[Tag]:
    if re.fullmatch(r"#[\w-]+", selector):
        return [by_id[selector[1:]]] if selector[1:] in by_id else []
    if selector.startswith(".dataframe"):  # pandas' own alignment, ours here
        return []
    try:
        return soup.select(selector)
    except (SelectorSyntaxError, NotImplementedError):  # newer than the selector library
        return []


def _describe(table: Tag) -> None:
    """Scopes for headers, empty headers as plain cells, columns of numbers and verdicts marked."""
    for cell in table.find_all("th"):
        if not cell.get_text(strip=True):
            cell.name = "td"
            continue
        side, span = ("row", "rowspan") if cell.find_parent("tbody") else ("col", "colspan")
        cell["scope"] = f"{side}group" if cell.get(span, "1") != "1" else side
    # Rows of the head and others, each from the right: headers that span several rows are on the left.
    rows = {True: [], False: []}
    for row in table.find_all("tr"):
        rows[row.find_parent("thead") is not None].append(row.find_all(["td", "th"])[::-1])
    for column in range(max(map(len, rows[False]), default=0)):
        cells = [row[column] for row in rows[False] if column < len(row) and row[column].name == "td"]
        texts = [cell.get_text(" ", strip=True) for cell in cells]
        if all(map(_NUMBER.fullmatch, texts)) and re.search(r"\d", "".join(texts)):
            for cell in cells + [row[column] for row in rows[True] if column < len(row)]:
                if cell.get("colspan", "1") == "1":
                    cell["class"] = "num"
        for cell, text in zip(cells, texts, strict=True):
            if text.lower() in _GOOD | _BAD:
                cell["class"] = "good" if text.lower() in _GOOD else "bad"
    # A short text stays on one line and a long one gets room: the box can scroll.
    for cell in table.find_all(["td", "th"]):
        length = len(cell.get_text())
        if "class" not in cell.attrs and (length <= 14 or length > 40):
            cell["class"] = "short" if length <= 14 else "long"
