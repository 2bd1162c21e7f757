"""Notebook markdown as safe HTML: formulas become MathML, headings get anchors, other raw HTML is escaped."""

import re
import secrets
from collections.abc import Mapping
from html import escape, unescape
from typing import cast

import bleach
import mistune
from bleach.css_sanitizer import CSSSanitizer
from mistune.plugins import import_plugin
from nbconvert.filters.markdown_mistune import MathBlockParser, MathInlineParser
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from .formula import mathml
from .outline import Outline, slug

TAGS = frozenset(
    "p br hr h1 h2 h3 h4 h5 h6 em strong b i s del sub sup kbd mark small code pre blockquote "
    "ul ol li dl dt dd a img span table thead tbody tr th td".split()
)
_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*", re.ASCII)
DOLLARS = re.compile(r"(?<![\\$])\$(?=\S)([^$\n]+?)(?<=[^\s\\])\$(?![\d$])")
_HEADING = re.compile(r"<h([1-6])>(.*?)</h\1>", re.DOTALL)


def render(source: str, outline: Outline, attachments: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """One markdown text as HTML, its headings recorded in `outline`.

    A formula may stand in text, headings, lists and tables, as `$…$`, `$$…$$` or an environment; `\\$` is a
    dollar. Raw HTML outside of `TAGS`, and any attribute that could load or run something, comes out as text
    or not at all.
    """
    renderer = _Renderer(outline, attachments or {})
    convert = mistune.Markdown(
        renderer,
        _Blocks(),
        _Inline(hard_wrap=False),
        [import_plugin(p) for p in ("strikethrough", "table", "def_list", "url")],
    )
    source = "\n".join(_protect_bars(line) for line in source.splitlines())
    safe = bleach.clean(
        cast(str, convert(source)),  # a list of tokens only where nothing renders
        tags=TAGS,
        attributes=_allowed,
        protocols={"http", "https", "mailto", "data"},
        css_sanitizer=CSSSanitizer(allowed_css_properties=["text-align"]),
    )
    safe = re.sub(r"<table>.*?</table>", _box, safe, flags=re.DOTALL)
    html = _HEADING.sub(lambda m: outline.heading(int(m[1]), renderer.fill(m[2]), renderer.plain(m[2])), safe)
    return renderer.fill(html)


class _Blocks(MathBlockParser):
    # nbconvert lets $$ open a block within a line, even inside `code`; the inline rule reads it there
    SPECIFICATION = {
        **MathBlockParser.SPECIFICATION,
        "multiline_math": rf"^ {{0,3}}(?:{MathBlockParser.MULTILINE_MATH})",
    }


class _Inline(MathInlineParser):
    # "from $5 to $10" is no formula: as in pandoc, a closing $ is not followed by a digit
    SPECIFICATION = {
        **MathInlineParser.SPECIFICATION,
        "inline_math_tex": r"(?<![$\\])\$(?P<math_inline_tex>(?:\\.|[^$\\])+?)\$(?![$\d])",
    }


class _Renderer(mistune.HTMLRenderer):
    """Puts a token in the place of what is safe HTML of our own; `fill` puts that back after cleaning."""

    def __init__(self, outline: Outline, attachments: Mapping[str, Mapping[str, str]]):
        super().__init__(escape=False)
        self.outline, self.attachments = outline, attachments
        self.kept: list[tuple[str, str]] = []  # HTML, and the same as plain text
        self.nonce = secrets.token_hex(8)  # no text can name a token
        self.token = re.compile(f"x{self.nonce}n(\\d+)x")

    def keep(self, html: str, text: str) -> str:
        self.kept.append((html, text))
        return f"x{self.nonce}n{len(self.kept) - 1}x"

    def fill(self, html: str) -> str:
        return self.token.sub(lambda m: self.kept[int(m[1])][0], html)

    def plain(self, html: str) -> str:
        text = self.token.sub(lambda m: escape(self.kept[int(m[1])][1]), re.sub(r"<[^>]+>", "", html))
        return unescape(text).strip()

    def inline_math(self, body: str) -> str:
        return self.keep(mathml(body), _spoken(body))

    def block_math(self, body: str) -> str:
        return self.keep(mathml(body, display=True), _spoken(body))

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")

    def paragraph(self, text: str) -> str:
        alone = self.token.fullmatch(text.strip())
        if alone and self.kept[int(alone[1])][0].startswith("<div"):  # a display stands alone, not in a <p>
            return text + "\n"
        for n in map(int, self.token.findall(text)):  # a display within a sentence: a <div> would end the <p>
            html, words = self.kept[n]
            self.kept[n] = (re.sub(r"^<div\b(.*)</div>$", r"<span\1</span>", html, flags=re.DOTALL), words)
        return f"<p>{text}</p>\n"

    def table_cell(self, text: str, align: str | None = None, head: bool = False) -> str:
        tag, style = ("th" if head else "td"), (f' style="text-align:{align}"' if align else "")
        text = text.replace(r"\|", "|")  # a bar in code, which is escaped in a table only
        return f"<{tag}{style}>{text}</{tag}>\n"

    def block_code(self, code: str, info: str | None = None) -> str:
        language = (info or "text").strip().split(maxsplit=1)[0]
        return self.keep(code_block(code, language), code) + "\n"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        alt = escape(self.plain(text) or title or f"Image in “{self.outline.current}”")
        if url.startswith("attachment:"):
            data = self.attachments.get(url.removeprefix("attachment:"), {})
            mime = next((m for m in ("image/svg+xml", "image/png", "image/jpeg") if m in data), None)
            url = f"data:{mime};base64,{''.join(data[mime])}" if mime else ""
        if _IMAGE.fullmatch(url):
            return f'<img src="{escape(url)}" alt="{alt}">'
        return f'<span title="{escape(url)}">{alt}</span>'  # a page that loads nothing can only name it

    def link(self, text: str, url: str, title: str | None = None) -> str:
        file, _, fragment = url.partition("#")
        if file.endswith(".ipynb") and "://" not in file:
            chapter = self.outline.resolve(file.rsplit("/", 1)[-1].removesuffix(".ipynb"))
        else:
            chapter = self.outline.name if url.startswith("#") else None
        if chapter:
            url = f"#{chapter}--{slug(fragment)}" if fragment else f"#{chapter}"
        elif not re.match(r"(https?:|mailto:)", url, re.IGNORECASE):
            return text  # a relative file does not travel with the report
        return f'<a href="{escape(url)}">{text}</a>'


def inline(text: str) -> str:
    """A short text that is not markdown (a caption, a cell): escaped, its `$…$` formulas converted."""
    return "".join(mathml(part) if i % 2 else escape(part) for i, part in enumerate(DOLLARS.split(text)))


def plain(text: str) -> str:
    """The same text where no markup can stand: `Accuracy of $b_{v}$` → `Accuracy of b_v`."""
    return DOLLARS.sub(lambda m: _spoken(m[1]), text)


def code_block(code: str, language: str = "python") -> str:
    """Highlighted source in a box that scrolls by itself and can be reached by keyboard."""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    markup = highlight(code.strip("\n"), lexer, HtmlFormatter(nowrap=True))
    return f'<pre class="code" tabindex="0"><code>{markup}</code></pre>'


def _allowed(tag: str, name: str, value: str) -> bool:
    if tag == "a":
        return name == "href" and not value.strip().lower().startswith("data:")
    if tag == "img":
        return name == "alt" or (name == "src" and bool(_IMAGE.fullmatch(value)))
    if tag in ("th", "td"):
        return name == "style" or (name in ("colspan", "rowspan", "scope") and bool(re.fullmatch(r"\w{1,9}", value)))
    return tag == "span" and name == "title"


def _box(table: re.Match[str]) -> str:
    markup = re.sub(r"<th(?=[ >])(?![^>]*scope=)", '<th scope="col"', table[0])
    markup = re.sub(r"<th[^>]*>\s*</th>", "<td></td>", markup)
    return f'<div class="scroll" tabindex="0" role="group" aria-label="Table">{markup}</div>'


def _protect_bars(line: str) -> str:
    r"""A row of a table: the bars of its formulas must not end a cell ($|x|$, $\|x\|$)."""
    if not line.lstrip().startswith("|"):
        return line
    return re.sub(
        r"`[^`]*`|(?<![\\$])\$(?!\$)[^$]+(?<!\\)\$",
        lambda m: m[0] if m[0][0] == "`" else m[0].replace(r"\|", r"\Vert ").replace("|", r"\vert "),
        line,
    )


def _spoken(latex: str) -> str:
    """A formula in plain words, for an anchor or a text alternative: `\\mathbf{b}_{v}` → `b_v`."""
    latex = re.sub(r"\\(?:mathbf|mathrm|mathcal|mathbb|text|boldsymbol|operatorname)\b|\\", "", latex)
    return re.sub(r"[{}$]", "", latex).strip()
