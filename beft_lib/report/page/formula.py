"""LaTeX formulas as MathML, which a browser draws without a script, a font file or a network."""

import re
import unicodedata
from html import escape, unescape
from xml.etree.ElementTree import Element, tostring

from latex2mathml.converter import Converter

# What latex2mathml does not read (first five) or reads as something else, in words that it does.
_REWRITES = (
    (re.compile(r"\\arg\s*\\(max|min)(?![a-zA-Z])"), r"\\arg\1"),
    (re.compile(r"\\operatorname\*?\s*\{\s*arg\s*(?:\\[,;: ]|~)?\s*(max|min)\s*\}"), r"\\arg\1"),
    (re.compile(r"\\operatorname\*"), r"\\operatorname"),
    (re.compile(r"\\arg(?![a-zA-Z])"), r"\\operatorname{arg}"),
    (re.compile(r"\\(begin|end)\{(?:aligned|gathered|gather\*?)\}"), r"\\\1{align*}"),
    (re.compile(r"\\limits(?![a-zA-Z])"), ""),
)
_ARITY = {tag: 2 for tag in "msub msup munder mover mfrac mroot".split()} | {"msubsup": 3, "munderover": 3}
_TAGS = set("math mrow mi mn mo mtext mspace mstyle msqrt mtable mtr mtd mpadded mphantom menclose".split())
_ATTRIBUTES = set(
    "display displaystyle scriptlevel stretchy fence form accent accentunder separator linethickness "
    "width minsize maxsize lspace rspace".split()
)
_VALUE = re.compile(r"[\w.+% -]*")
_LIMITS = {"max", "min", "arg max", "arg min", "sup", "inf", "lim"}
_UNDER = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}
_OPERANDS = {"mi", "mn", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup"}
# Letters that Unicode had before it got whole alphabets: ℐ, ℝ, ℑ.
_SPECIAL = {"script": "SCRIPT", "double-struck": "DOUBLE-STRUCK", "fraktur": "BLACK-LETTER"}


class Unconvertible(ValueError):
    """A formula that has no faithful MathML here; it is shown as its LaTeX source."""


def mathml(latex: str, display: bool = False) -> str:
    """One formula as a `<math>` element, or its source as `<code class="tex">` if it cannot be converted.

    Differs from `latex2mathml.convert` in: 1 text and attributes are escaped, and only MathML Core comes out;
    the library undoes the escaping, and passes `\\href` and `\\style` on. 2 An unknown command or a missing
    argument is noticed instead of drawn as text. 3 Bold, calligraphic and blackboard letters are the Unicode
    ones, since browsers ignore `mathvariant`. 4 Function names have their space, norms and bars have none,
    limits go beneath in a display.
    """
    latex = latex.strip()
    try:
        tree = _tree(latex, display)
    except Exception:  # whatever a third-party parser makes of free text: the reader gets its source
        source = f'<code class="tex">{escape(latex)}</code>'
        return f'<div class="math">{source}</div>' if display else source
    tree.attrib = {"display": "block" if display else "inline", "alttext": re.sub(r"\s+", " ", latex)}
    markup = tostring(tree, encoding="unicode", short_empty_elements=False)
    if display:
        return f'<div class="math" tabindex="0" role="group" aria-label="Formula">{markup}</div>'
    if len("".join(tree.itertext())) <= 24:
        return markup
    # A browser does not break a formula over lines: a long one may scroll by itself on a narrow screen.
    return f'<span class="long-math" tabindex="0" role="group" aria-label="Formula">{markup}</span>'


def _tree(latex: str, display: bool) -> Element:
    for pattern, replacement in _REWRITES:
        latex = pattern.sub(replacement, latex)
    tree = Converter(display="block" if display else "inline").convert_to_element(latex)
    _clean(tree, display)
    if not "".join(tree.itertext()).strip():
        raise Unconvertible("an empty formula")
    return tree


def _clean(node: Element, display: bool) -> None:
    if node.tag not in _TAGS | _ARITY.keys() or len(node) != _ARITY.get(node.tag, len(node)):
        raise Unconvertible(node.tag)
    for child in node:
        _clean(child, display)
    variant = node.get("mathvariant")
    align = node.get("columnalign")
    node.attrib = {k: v for k, v in node.attrib.items() if k in _ATTRIBUTES and _VALUE.fullmatch(v)}
    node.tail = None
    if node.tag == "mtd" and align in ("left", "right", "center"):
        node.set("style", f"text-align:{align}")
    if node.get("width") == "negativethinmathspace":
        node.set("width", "-0.167em")
    if len(node) == 0:
        _clean_text(node, variant)
    elif node.tag in _UNDER and display and (node[0].text or "") in _LIMITS:
        node.tag = _UNDER[node.tag]
    _space_functions(node)


def _clean_text(node: Element, variant: str | None) -> None:
    text = node.text or ""
    if text == "&":  # an alignment mark outside of an environment
        raise Unconvertible("&")
    text = re.sub(r"\\([{}_%#$&])", r"\1", unescape(text)).replace("\u2009", " ")
    if "\\" in text:
        raise Unconvertible(text)
    if variant == "normal" and node.tag == "mi" and len(text) == 1:
        node.set("mathvariant", "normal")
    elif variant and variant not in ("normal", "italic"):
        text = "".join(_letter(letter, variant) for letter in text)
    if node.tag == "mo" and len(text) > 1 and text.replace(" ", "").isalpha():
        node.tag, node.attrib = "mi", {}  # a function: as an operator it would stand far from its bracket
    elif node.tag == "mi" and len(text) == 1 and unicodedata.category(text) == "Sm" and text not in "∞∂∇":
        node.tag, text = "mo", text.replace("~", "∼")
    if node.tag == "mo" and text in ("|", "‖", "∥"):
        node.set("lspace", "0")
        node.set("rspace", "0")
    node.text = text


def _letter(letter: str, variant: str) -> str:
    """The Unicode letter of a style: ("I", "script") → "ℐ", ("θ", "bold-italic") → "𝜽"; else itself."""
    name = unicodedata.name(letter, "")
    for alphabet in ("LATIN ", "GREEK "):
        name = name.removeprefix(alphabet)
    name = name.replace(" LETTER", "")
    for style in (
        f"MATHEMATICAL {variant.upper().replace('-', ' ')}",
        f"MATHEMATICAL {variant.upper()}",
        _SPECIAL.get(variant),
    ):
        try:
            return unicodedata.lookup(f"{style} {name}")
        except KeyError:
            continue
    return letter


def _space_functions(node: Element) -> None:
    if node.tag not in ("mrow", "math", "mtd", "mstyle"):
        return
    children = list(node)
    for i in range(len(children) - 1, 0, -1):
        left, right = children[i - 1], children[i]
        if (_is_function(left) and right.tag in _OPERANDS) or (_is_function(right) and _ends_operand(left)):
            node.insert(i, Element("mspace", {"width": "0.167em"}))


def _is_function(node: Element) -> bool:
    while len(node) and (node.tag in _ARITY):
        node = node[0]
    return node.tag == "mi" and len(node.text or "") > 1 and (node.text or "").replace(" ", "").isalpha()


def _ends_operand(node: Element) -> bool:
    return node.tag in _OPERANDS or (node.tag == "mo" and node.text in (")", "]", "}"))
