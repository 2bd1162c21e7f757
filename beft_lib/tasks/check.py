"""A task's definition, checked before it is used: every mistake of a file at once, each with what would be valid."""

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

import pydantic
import yaml

from beft_lib.errors import UserError, unknown

from . import metrics
from .definition import Task
from .examples import Examples, Prompts
from .prompt_task import PromptTask
from .rows import from_rows

KINDS: dict[str, type[Task] | type[PromptTask]] = {
    "classification": Task,
    "regression": Task,
    "options": PromptTask,
    "answer": PromptTask,
}
# What is valid where pydantic's type of a mistake begins so.
VALID = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "tuple": "a list",
    "dict": "keys with a value each",
    "model": "keys with a value each",
}


def check(path: str | Path, rows: Sequence[Mapping] = ()) -> tuple[Task | PromptTask, Examples | Prompts]:
    """The task that a YAML file defines, all of its keys and values being valid, and `rows` read as its examples.

    Rows are as a source would give them: columns by name. Raises a `UserError` that lists every mistake of the file,
    each with its key, the value and what is valid; then one for the first row that cannot be read.
    """
    path = Path(path)
    content = _content(path)
    form, mistakes, task = KINDS.get(str(content.get("kind"))), [], None
    if form is None:
        raise UserError(f"{path}: kind {content.get('kind')!r}; valid: {', '.join(KINDS)}")
    try:
        task = form.model_validate(content)
    except pydantic.ValidationError as error:
        mistakes += [_told(form, mistake) for mistake in error.errors() if not _follows(mistake)]
    given = content.get("metrics")
    known = metrics.names()
    for name in given if isinstance(given, list) else ():
        if isinstance(name, str) and name not in known:
            mistakes.append(str(unknown("metric", name, known)))
    if content.get("name", path.stem) != path.stem:
        mistakes.append(f"name {content['name']!r}; valid: {path.stem!r}, as the file is called")
    if mistakes or task is None:
        raise UserError("\n  ".join((f"{path} does not define a task:", *mistakes)))
    return task, from_rows(task, rows, lambda i: f"example row {i}")


def _follows(mistake: Mapping) -> bool:
    """Whether it only says that a list is too short because of mistakes in its members, which are told themselves."""
    given, least = mistake["input"], mistake.get("ctx", {}).get("min_length", 0)
    return mistake["type"] == "too_short" and isinstance(given, list | tuple) and len(given) >= least


def _told(form: type[pydantic.BaseModel], mistake: Mapping) -> str:
    """One mistake in words: its key, the value, what is valid."""
    *above, key = mistake["loc"] or ("",)
    where, own = ".".join(map(str, mistake["loc"])), _model(form, above)
    if mistake["type"] == "extra_forbidden":
        return str(unknown(f"key{f' of {_path(above)}' if above else ''}", key, own.model_fields))
    if mistake["type"] == "missing":
        return f"{where} is missing; {_expected(own, key)}"
    reason = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "value_error":
        return f"{where}: {reason}" if where else reason
    if "pattern" in mistake.get("ctx", {}):
        return f"{where} {mistake['input']!r}; valid: what matches {mistake['ctx']['pattern']}"
    valid = [text for kind, text in VALID.items() if mistake["type"].startswith(kind)]
    return f"{where} {mistake['input']!r}; valid: {valid[0]}" if valid else f"{where} {mistake['input']!r}: {reason}"


def _path(keys: Sequence[object]) -> str:
    return ".".join(map(str, keys))


def _expected(form: type[pydantic.BaseModel], key: object) -> str:
    """What a missing key holds: the keys of a part, the values of a choice, or a type."""
    field = form.model_fields[str(key)]
    if part := _part(field.annotation):
        return f"it holds {', '.join(part.model_fields)}"
    if typing.get_origin(field.annotation) is typing.Literal:
        return f"valid: {', '.join(map(str, typing.get_args(field.annotation)))}"
    kinds = {str: "a text", int: "a whole number", float: "a number"}
    return f"give {kinds.get(field.annotation, 'a list')}" if field.annotation else "give it"


def _model(form: type[pydantic.BaseModel], keys: Sequence[object]) -> type[pydantic.BaseModel]:
    """The part of a definition that lies under these keys; numbers are places in a list."""
    for key in keys:
        if isinstance(key, str) and (part := _part(form.model_fields[key].annotation)):
            form = part
    return form


def _part(annotation: object) -> type[pydantic.BaseModel] | None:
    """The model in an annotation: `Hub` of `Hub | None`, `Validation` of `tuple[Validation, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    return next((part for part in map(_part, typing.get_args(annotation)) if part), None)


def _content(path: Path) -> dict:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}; give a YAML file that defines a task") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {type(content).__name__}; valid: keys and their values, among them kind")
    return content
