"""Links in running text: "Fig. 4" and "Table 1" to our counterpart of it, a word of the glossary to its entry."""

import re
from collections.abc import Mapping

from .glossary import FORMS, GLOSSARY, anchor

_APART = {"a", "code", "pre", "math", "summary", "button", "figcaption", "h1", "h2", "h3", "h4", "h5", "h6", "th"}
_WORDS = {word: FORMS.get(word, word) for word in GLOSSARY}
_REFERENCE = re.compile(
    r"\b(?P<label>(?:Fig\.|Table)\s?\d+)(?!\w)|"
    + "|".join(rf"\b(?P<{word.replace(' ', '_')}>{form})\b" for word, form in _WORDS.items()),
    re.IGNORECASE,
)


class Linker:
    """The links of one chapter: every reference, and each word of the glossary where it first stands."""

    def __init__(self, labels: Mapping[str, str]):
        self.labels = labels  # "Fig. 4" → id of the figure here
        self.met: set[str] = set()

    def __call__(self, html: str) -> str:
        """The same HTML with links, none within a link, a heading, code, a formula or a table's head."""
        inside, parts = 0, []
        for part in re.split(r"(<[^>]+>)", html):
            if tag := re.match(r"<(/?)(\w+)", part):
                if tag[2] in _APART and not part.endswith("/>"):
                    inside += -1 if tag[1] else 1
            elif not inside:
                part = _REFERENCE.sub(self._link, part)
            parts.append(part)
        return "".join(parts)

    def _link(self, found: re.Match[str]) -> str:
        if label := found["label"]:
            target = self.labels.get(re.sub(r"\s+", " ", label))
            return f'<a class="ref" href="#{target}">{label}</a>' if target else found[0]
        word = (found.lastgroup or "").replace("_", " ")
        if word in self.met:
            return found[0]
        self.met.add(word)
        return f'<a class="term" href="#{anchor(word)}">{found[0]}</a>'
