"""What the cells of an executed notebook have put out, as safe HTML: figures, tables, text, errors."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from nbconvert.filters.ansi import ansi2html

from . import exhibits, markdown, tables
from .formula import mathml
from .outline import Outline

_READABLE = " !$'()*+,-./:;=?@[]^_`{|}~"  # stays as it is in the address of a drawing: a quarter less than base64
IMAGES = ("image/svg+xml", "image/png", "image/jpeg")  # the first one present is shown


def render(outputs: Sequence[Mapping[str, Any]], outline: Outline) -> str:
    """All outputs of one cell, in order; neighbouring pieces of one stream are joined."""
    parts: list[str] = []
    stream, text = "", ""
    for output in [*outputs, {"output_type": "end"}]:
        kind = output.get("output_type")
        name = output.get("name", "stdout") if kind == "stream" else ""
        if text and name != stream:
            parts.append(_stream(stream, text))
            text = ""
        stream = name
        if kind == "stream":
            text += joined(output.get("text", ""))
        elif kind == "error":
            parts.append(error(output))
        elif kind in ("display_data", "execute_result"):
            parts.append(_data(output.get("data", {}), output.get("metadata", {}), outline))
    return "\n".join(filter(None, parts))


def error(output: Mapping[str, Any]) -> str:
    """An exception: its name and message, the traceback folded."""
    message = escape(f"{output.get('ename', 'Error')}: {output.get('evalue', '')}".rstrip(": "))
    return f'<div class="error" role="note"><p><strong>{message}</strong></p>{traceback(output)}</div>'


def traceback(output: Mapping[str, Any]) -> str:
    lines = joined(output.get("traceback", []), "\n")
    return f"<details><summary>Traceback</summary>{_pre(lines)}</details>" if lines.strip() else ""


def joined(value: Any, separator: str = "") -> str:
    """The text of a notebook field, which may be a string or a list of its lines."""
    return value if isinstance(value, str) else separator.join(map(str, value or []))


def _stream(name: str, text: str) -> str:
    text = re.sub(r"[^\n]*\r(?!\n)", "", text.replace("\r\n", "\n"))  # a progress bar: only its last state
    if not text.strip():
        return ""
    if name == "stderr":
        return f'<details class="log"><summary>Messages</summary>{_pre(text)}</details>'
    return _pre(text)


def _pre(text: str) -> str:
    return f'<pre class="text" tabindex="0">{ansi2html(text.strip(chr(10)))}</pre>'


def _data(data: Mapping[str, Any], metadata: Mapping[str, Any], outline: Outline) -> str:
    if source := exhibits.drawing(data, metadata):
        return _exhibit(source, metadata, outline)
    mime = next((m for m in IMAGES if joined(data.get(m))), None)
    if mime:
        return _figure(mime, joined(data[mime]), metadata, outline)
    if "text/html" in data:
        caption = metadata.get("caption") or metadata.get("alt")
        exhibit = outline.exhibits.get(f"tab-{metadata.get('name')}")
        return tables.from_html(joined(data["text/html"]), outline, str(caption) if caption else None, exhibit)
    if "text/markdown" in data:
        return outline.link(markdown.render(joined(data["text/markdown"]), outline))
    if "text/latex" in data:
        latex = re.sub(r"^\$+\s*(?:\\displaystyle\b)?|\$+$", "", joined(data["text/latex"]).strip())
        return mathml(latex, display=True)
    text = joined(data.get("text/plain"))
    if not text and data:
        text = f"(an output of type {', '.join(data)}, which a page without scripts cannot show)"
    return _pre(text) if text.strip() else ""


def _exhibit(source: str, metadata: Mapping[str, Any], outline: Outline) -> str:
    """A figure that `show.show` displayed, with its number and what lies under it."""
    alt = escape(markdown.plain(str(metadata["alt"]).strip() or f"Figure: {outline.current}"))
    exhibit = outline.exhibits.get(f"fig-{metadata['name']}")
    image = f'<img src="{escape(source)}" alt="{alt}">'
    if exhibit is None:
        caption = markdown.inline(str(metadata.get("caption", "")))
        return f'<figure class="figure">{image}<figcaption>{caption}</figcaption></figure>'
    legend, under = exhibits.legend(exhibit), exhibits.under(exhibit)
    shaded = " shaded" if exhibit.shaded else ""
    return f'<figure class="figure exhibit{shaded}" id="{exhibit.anchor}">{image}{legend}{under}</figure>'


def _figure(mime: str, content: str, metadata: Mapping[str, Any], outline: Outline) -> str:
    """An <img> with its data inside: an SVG there runs no script, loads nothing, keeps its ids to itself."""
    own = found if isinstance(found := metadata.get(mime), Mapping) else {}
    caption, alt = (str(own.get(key) or metadata.get(key) or "").strip() for key in ("caption", "alt"))
    alt = alt or caption or f"Figure: {outline.current}"
    if mime == "image/svg+xml":
        encoded = "," + quote(re.sub(r"\s+", " ", content), safe=_READABLE, errors="replace")
    else:
        encoded = ";base64," + re.sub(r"[^A-Za-z0-9+/=]", "", content)
    width = own.get("width")
    size = f' width="{int(width)}"' if isinstance(width, (int, float)) and 0 < width < 10_000 else ""
    legend = f"<figcaption>{markdown.inline(caption)}</figcaption>" if caption else ""
    image = f'<img src="data:{mime}{encoded}" alt="{escape(markdown.plain(alt))}"{size}>'
    return f'<figure class="figure">{image}{legend}</figure>'
