"""Names of classes that a reader cannot tell apart, or takes for one: another Unicode form, case, or alphabet."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

# Characters that are not seen, and those of other alphabets that look like Latin ones.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
)
_CYRILLIC = (
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u04bb"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0406\u0408\u0405"
)
_GREEK = (
    "\u03b1\u03b9\u03bd\u03bf\u03c1\u03c5\u03c7"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
)
CONFUSABLE = dict(zip(_CYRILLIC + _GREEK, "aeopcyxisjhABEKMHOPCTXIJS" + "aivopuxABEZHIKMNOPTYX"))


def canonical(text: str) -> str:
    """The text in Unicode's composed form, without characters that are not seen, its blanks single and plain."""
    if text.isascii() and "  " not in text and text.isprintable():
        return text.strip()
    return " ".join(INVISIBLE.sub("", unicodedata.normalize("NFC", text)).split())


def skeleton(text: str) -> str:
    """What names have in common that a reader may take for one: case, width, accents' form, alphabet, edges aside."""
    plain = unicodedata.normalize("NFKC", canonical(text))
    plain = "".join(CONFUSABLE.get(character, character) for character in plain).casefold()
    return re.sub(r"[\W_]+", " ", plain).strip() or plain


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """The groups of different names that look alike, each in the order given."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(skeleton(name), []).append(name)
    return [tuple(own) for own in groups.values() if len(own) > 1]


def shown(name: str) -> str:
    """The name as a message writes it: with codes where it holds characters that look like others."""
    plain = unicodedata.normalize("NFC", name)
    hidden = plain != name or any(c in CONFUSABLE for c in name) or INVISIBLE.search(name)
    return ascii(name) if hidden else repr(name)


def said(written: Mapping[str, set[str]]) -> list[str]:
    """Sentences about classes, by name the forms that were taken for one; and about names that look alike."""
    sentences = []
    for name, forms in written.items():
        if len(forms) > 1:
            listed = ", ".join(ascii(form) for form in sorted(forms))
            sentences.append(
                f"Labels written in {len(forms)} forms of the same characters are one class {name!r}: {listed}."
            )
    for group in alike(written):
        sentences.append(
            f"Classes that look alike: {', '.join(map(shown, group))}; each counts as a class of its own. Write them "
            "alike if they are one."
        )
    return sentences
