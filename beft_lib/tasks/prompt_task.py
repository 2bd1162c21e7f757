"""What a prompt task is: how a decoder reads an example, and which texts it chooses among or writes.

A template names columns in braces, `{premise}`, or a column through a filter, `{premise:clause}`. The wording
of the paper's tasks is that of MeZO (Malladi et al. 2023, arXiv 2305.17333), which the paper follows.
"""

import hashlib
import json
import string
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import PositiveInt, field_validator, model_validator

from beft_lib.errors import unknown

from .definition import Definition, fields


def clause(text: str) -> str:
    """A sentence that goes on: without trailing blanks and one final full stop."""
    return text.rstrip().removesuffix(".")


def continuing(text: str) -> str:
    """A sentence that goes on from another: its first word in lower case, unless that is "I"."""
    first, blank, rest = text.partition(" ")
    return (first if first == "I" else first.lower()) + blank + rest


def question(text: str) -> str:
    """With a capital first letter and a question mark at the end."""
    return text[0].upper() + text[1:] + ("" if text.endswith("?") else "?")


def bullets(text: str) -> str:
    """ReCoRD's summary points as a list: each `@highlight` line becomes a dash before the next line."""
    return text.replace("@highlight\n", "- ")


FILTERS = {
    "strip": str.strip,
    "lower": str.lower,
    "clause": clause,
    "continuing": continuing,
    "question": question,
    "bullets": bullets,
}


class _Templates(string.Formatter):
    """`str.format` with the filters in the place of format specifications."""

    def format_field(self, value, spec):
        return FILTERS[spec](value) if spec else value


_TEMPLATES = _Templates()


class PromptTask(Definition, frozen=True):
    """One task of a decoder, which reads `prompt` and goes on with one of some options, or with an answer.

    Of kind "options" there is one source of options: `options`, the same texts for every example, in the
    order of the label ids; `choices`, the columns that hold them; or `candidates`, a column with a list of
    texts, of which repeated ones count once. `label` is the column of the right one: the class id, whose
    names are `labels`, or among candidates a list of all that are right, of which the first is trained on.

    Of kind "answer", `answers` is the path of the list of reference texts, such as `answers.text`; the first
    one is trained on.

    `option` is what follows the prompt: a template of `{option}` and columns, or, if the `placeholder` is
    given, of columns in which the placeholder stands for the option. `words` are columns made from another
    one: `{"conjunction": {"column": "question", "cause": "because"}}`. `separator` stands between solved
    examples. Training minimises the cross-entropy over the options' scores (`objective` "options") or the
    language model's loss on the right text ("answer"). `longest` leaves out the rows of every split with a
    column of more characters; such a task has a name of its own.
    """

    kind: Literal["options", "answer"]
    prompt: str
    option: str = " {option}"
    placeholder: str = ""
    options: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    candidates: str = ""
    label: str = ""
    labels: tuple[str, ...] = ()
    answers: str = ""
    words: dict[str, dict[str, str]] = {}
    separator: str = "\n\n"
    objective: Literal["options", "answer"]
    longest: dict[str, PositiveInt] = {}
    blank: tuple[str, ...] = ()  # columns whose text may be blank
    max_length: int = 2048

    def __hash__(self):  # pydantic's cannot hash a dict
        return hash((self.name, self.version))

    @field_validator("prompt", "option")
    @classmethod
    def _template(cls, template):
        for _, name in fields(template):
            if name and name not in FILTERS:
                raise unknown(f"filter in the template {template!r}", name, FILTERS)
        return template

    @model_validator(mode="after")
    def _one_kind(self):
        sources = [self.options, self.choices, self.candidates]
        if self.kind == "answer":
            if not self.answers or any([*sources, self.label, self.labels]):
                raise ValueError("a task of kind 'answer' has answers, and no options, choices, candidates or label")
            if self.objective == "options":
                raise ValueError("a task of kind 'answer' has no options to train on; its objective is 'answer'")
            return self
        if self.answers or not self.label or sum(map(bool, sources)) != 1:
            raise ValueError(
                "a task of kind 'options' has a label and one of options, choices and candidates, and no answers"
            )
        classes = self.options or self.choices
        if len(classes) < 2 and not self.candidates:
            raise ValueError("there are at least two options or choices")
        if len(self.labels) != len(classes):
            raise ValueError("labels names each of the options or choices, as the data set does; candidates have none")
        return self

    @model_validator(mode="after")
    def _consistent(self):
        shown, used = ({column for column, _ in fields(template)} for template in (self.prompt, self.option))
        if ("option" in used) == bool(self.placeholder):
            raise ValueError("either the template option holds {option}, or a placeholder stands for it")
        if "option" in shown:
            raise ValueError("the prompt is the same for every option; write {option} in the template option")
        if self.prompt.endswith(" "):
            raise ValueError("the prompt ends in a blank; begin the template option with it, as tokenizers join them")
        for word, table in self.words.items():
            if "column" not in table or len(table) < 2:
                raise ValueError(f"the word {word!r} needs its column, and a text for each of the column's values")
            if word not in used | shown:
                raise ValueError(f"the word {word!r} is in no template; write {{{word}}} in one, or leave it out")
        for setting in ("longest", "blank"):
            for column in getattr(self, setting):
                if column not in self.texts:
                    raise unknown(f"column in {setting}", column, self.texts)
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns that hold a text each: those of the templates, words and choices, in order of first use."""
        used = [column for template in (self.prompt, self.option) for column, _ in fields(template)]
        named = [self.words[column]["column"] if column in self.words else column for column in used]
        return tuple(dict.fromkeys(column for column in (*named, *self.choices) if column != "option"))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that an example's prompt and options are made of."""
        return (*self.texts, self.candidates) if self.candidates else self.texts

    @property
    def filled(self) -> tuple[str, ...]:
        """The columns in which the placeholder stands for the option."""
        used = (column for column, _ in fields(self.option) if column not in self.words)
        return tuple(used) if self.placeholder else ()

    @property
    def prompts(self) -> bool:
        """True: a decoder answers it."""
        return True

    @property
    def regression(self) -> bool:
        return False

    @property
    def identity(self) -> str:
        """`copa v1 0123456789ab`: name, version and a digest of all that decides a rendered example and its loss."""
        parts = "prompt option placeholder options choices candidates label answers words separator objective longest"
        decided = json.dumps(self.model_dump(mode="json", include=set(parts.split())), sort_keys=True)
        return f"{self.name} v{self.version} {hashlib.sha256(decided.encode()).hexdigest()[:12]}"

    def render(self, row: Mapping, options: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """The prompt of a row, and what follows it for each of `options`."""
        words = {word: table[row[table["column"]]] for word, table in self.words.items()}
        values, followed, filled = {**row, **words}, [], self.filled
        for option in options:
            own = {column: values[column].replace(self.placeholder, option) for column in filled}
            followed.append(_TEMPLATES.vformat(self.option, (), {**values, "option": option, **own}))
        return _TEMPLATES.vformat(self.prompt, (), values), tuple(followed)
