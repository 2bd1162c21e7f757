"""A profile says which notebooks run, with which parameters: `params/<profile>.yaml` over `params/defaults.yaml`."""

import itertools
from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from beft_lib import tasks, workspace
from beft_lib.errors import UserError, unknown
from beft_lib.report import notebooks

KEYS = {"title": str, "notice": str, "source": str, "notebooks": dict}
MATRIX = "matrix"


@dataclass(frozen=True)
class Cell:
    """One execution of a notebook: the name of its executed copy and its parameters."""

    notebook: str
    name: str
    parameters: dict


@dataclass(frozen=True)
class Profile:
    """A checked profile: what to execute, and from where its data come."""

    name: str
    title: str
    notice: str
    source: str
    cells: tuple[Cell, ...]
    absent: tuple[str, ...] = ()  # models that the published records, which stand in for the runs, do not have


def folder() -> Path:
    """`params/` of the checkout."""
    root = workspace.checkout()
    if root is None:
        raise UserError(
            "profiles live in the source checkout, and this beft_lib was installed without one; "
            "clone the repository and use its run_all.sh"
        )
    return root / "params"


def names() -> list[str]:
    return sorted(path.stem for path in folder().glob("*.yaml") if path.stem != "defaults")


def load(name: str, source: str | None = None) -> Profile:
    """Read and check a profile. `source` replaces the profile's (`--data`).

    Raises `UserError`, naming file, key and the valid values, for an unknown key, notebook or parameter, a value of
    the wrong type, and a source that does not exist.
    """
    if name not in names():
        raise unknown("profile", name, names())
    defaults_file, file = folder() / "defaults.yaml", folder() / f"{name}.yaml"
    defaults, own = _read(defaults_file), _read(file)
    for where, content in ((defaults_file, defaults), (file, own)):
        for key, value in content.items():
            if key not in KEYS:
                raise unknown(f"key in {_short(where)}:", key, KEYS)
            if not isinstance(value, KEYS[key]):
                raise UserError(f"{_short(where)}: {key}: {value!r} is not a {KEYS[key].__name__}")
    merged = {**defaults, **own}
    if source is not None:
        merged["source"] = source
    tasks.parse_source(merged["source"])
    cells = []
    for notebook, parameters in (own.get("notebooks") or {}).items():
        shared = (defaults.get("notebooks") or {}).get(notebook) or {}
        cells += _cells(notebook, shared, parameters or {}, merged["source"], file)
    return Profile(name, merged.get("title", name), merged.get("notice", ""), merged["source"], tuple(cells))


def parameters(profile: str, name: str) -> dict:
    """What a profile gives a notebook, for one that is opened by hand: `globals().update(parameters("smoke", "02_…"))`.

    `name`: the notebook's, or that of one execution where the profile has several ("03_efficiency__opt-1.3b").
    """
    given = {cell.name: cell.parameters for cell in load(profile).cells}
    if name not in given:
        raise unknown(f"notebook of profile {profile!r}:", name, given)
    return given[name]


SEVERAL = ("encoders", "ranked_models")  # parameters that list models, of which one may be left out


def published(profile: Profile, source: str, models: Container[str]) -> Profile:
    """The profile as its published records have it: with their source, and without further models that they lack.

    What such a parameter says of a left-out model, by its name, goes with it. Of a notebook that is executed for
    several models, those executions stay whose model the records have; a notebook's only model is never left out.
    """
    listed = [name for cell in profile.cells for key in SEVERAL for name in cell.parameters.get(key) or ()]
    present = {cell.notebook for cell in profile.cells if cell.parameters.get("model", "") in models}
    without = [c for c in profile.cells if c.notebook in present and c.parameters.get("model", "") not in models]
    listed += [cell.parameters["model"] for cell in without]
    absent = tuple(name for name in dict.fromkeys(listed) if name not in models)

    def kept(key: str, value):
        if key == "source":
            return source
        if isinstance(value, list):
            return [item for item in value if item not in absent]
        if isinstance(value, dict):
            return {name: own for name, own in value.items() if name not in absent}
        return value

    cells = tuple(
        replace(cell, parameters={key: kept(key, value) for key, value in cell.parameters.items()})
        for cell in profile.cells
        if cell not in without
    )
    return replace(profile, source=source, cells=cells, absent=absent)


def _cells(notebook: str, shared: dict, own: dict, source: str, file: Path) -> list[Cell]:
    """The executions of one notebook: one, or one a combination of its matrix. Every parameter is checked."""
    if notebook not in notebooks.names():
        raise unknown(f"notebook in {_short(file)}:", notebook, notebooks.names())
    if not isinstance(own, dict):
        raise UserError(f"{_short(file)}: {notebook}: {own!r} is not a mapping of parameters to values")
    declared = notebooks.parameters(notebook)
    matrix = _matrix(own, f"{_short(file)}: {notebook}")
    cells = []
    for combination in itertools.product(*matrix.values()):
        chosen = {key: value for key, (value, _) in zip(matrix, combination)}
        theirs = {key: value for _, more in combination for key, value in more.items()}
        given = {**shared, **own, **theirs, **chosen}
        given.pop(MATRIX, None)
        if "source" in given:
            raise UserError(
                f"{_short(file)}: {notebook}: source: {given['source']!r} is given for one notebook; give it "
                "once for the whole profile, at the top of the file"
            )
        for key, value in given.items():
            if key not in declared:
                raise unknown(f"parameter of {notebook} in {_short(file)}:", key, [*declared, MATRIX])
            declared[key].check(value, f"{_short(file)}: {notebook}: {key}")
        full = {key: parameter.default for key, parameter in declared.items()} | given
        if "source" in declared:
            full["source"] = source
        suffix = "".join(f"__{str(value).replace('/', '-')}" for value in chosen.values())
        cells.append(Cell(notebook, notebook + suffix, full))
    return cells


def _matrix(own: dict, where: str) -> dict[str, list[tuple]]:
    """By parameter, its values, each with the parameters that hold for it: those of a list have none of their own."""
    matrix = own.get(MATRIX) or {}
    if not isinstance(matrix, dict) or not all(isinstance(v, list | dict) and v for v in matrix.values()):
        raise UserError(
            f"{where}: {MATRIX}: {matrix!r}; valid: parameters, each with a list of values, or with a mapping from "
            "each value to the parameters that hold for it"
        )
    if both := set(matrix) & set(own):
        raise UserError(f"{where}: {', '.join(sorted(both))} is given both in {MATRIX} and beside it")
    made = {}
    for key, values in matrix.items():
        made[key] = list(values.items()) if isinstance(values, dict) else [(value, {}) for value in values]
        for value, more in made[key]:
            if not isinstance(more, dict):
                raise UserError(f"{where}: {MATRIX}: {key}: {value}: {more!r} is not a mapping of parameters to values")
            if clash := set(more) & {MATRIX, *matrix}:
                raise UserError(f"{where}: {MATRIX}: {key}: {value}: {', '.join(sorted(clash))} cannot be given here")
    return made


def _read(file: Path) -> dict:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{_short(file)} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{_short(file)} holds no mapping; valid keys: {', '.join(KEYS)}")
    return content


def _short(file: Path) -> str:
    return f"params/{file.name}"
