"""The architecture as the imports have it: its order, its graph, and the picture of both in docs/architecture.svg.

    python scripts/architecture.py     draw docs/architecture.svg anew

A box is a package or a module at the top of `beft_lib`, with the first sentence of its docstring. An arrow goes to what
it imports; one that others imply (over a box between) is left out. The tests read `ORDER` and `graph` from here.
"""

import ast
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "beft_lib"
PICTURE = ROOT / "docs" / "architecture.svg"

# In the order data flows: each imports only from those before it.
ORDER = [
    "errors",
    "workspace",
    "models",
    "biases",
    "tasks",
    "importance",
    "tuning",
    "adapters",
    "runs",
    "engines",
    "sweep",
    "evidence",
    "chapters",
    "report",
    "cli",
]
WIDTH, HEIGHT, GAP, RISE, MARGIN = 250, 92, 46, 58, 24  # of a box, between boxes, between rows, around all


class Import(NamedTuple):
    """One import of a module of ours: which, on which line, whether only when a function is called."""

    module: str
    line: int
    lazy: bool


def modules() -> dict[str, Path]:
    """Every module of the library by its dotted name."""
    found = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: Mapping[str, Path]) -> Iterator[Import]:
    """What a file imports of ours when it runs; what only a type checker reads is left out."""
    package = path.relative_to(ROOT).parent.parts

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.ImportFrom):
                above = package[: len(package) - child.level + 1] if child.level else ()
                base = ".".join([*above, *([child.module] if child.module else [])])
                for full in {f"{base}.{alias.name}" for alias in child.names}:
                    yield Import(full if full in known else base, child.lineno, lazy)
            elif isinstance(child, ast.Import):
                yield from (Import(alias.name, child.lineno, lazy) for alias in child.names)
            else:
                yield from walk(child, lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    found = walk(ast.parse(path.read_text(encoding="utf-8")), False)
    return (one for one in sorted(found) if one.module.split(".")[0] == LIBRARY.name)


def graph() -> dict[str, set[str]]:
    """The modules that each module imports, inside functions too."""
    known = modules()
    return {name: {one.module for one in imports(path, known)} - {name} for name, path in known.items()}


def room(module: str) -> str:
    """The package or module at the top of the library that a module lies in; empty for the library itself."""
    return (module.split(".") + [""])[1]


def rooms() -> dict[str, set[str]]:
    """The rooms that each room imports, in the order of `ORDER`."""
    arrows: dict[str, set[str]] = {name: set() for name in ORDER}
    for module, imported in graph().items():
        if room(module) in arrows:
            arrows[room(module)] |= {room(other) for other in imported} - {room(module), ""}
    return arrows


def purpose(name: str) -> str:
    """The first sentence of a room's docstring, without the room's own name before a colon."""
    path = LIBRARY / f"{name}.py"
    path = path if path.is_file() else LIBRARY / name / "__init__.py"
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].split())
    text = text.split(". ")[0].rstrip(".").replace("`", "")
    return text.removeprefix(f"{name.capitalize()}: ")


def direct(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that no others imply."""
    reached: dict[str, set[str]] = {}
    for name in ORDER:  # what it imports comes before it
        reached[name] = arrows[name].union(*(reached[other] for other in arrows[name]))
    return {name: aims - set().union(*(reached[other] for other in aims)) for name, aims in arrows.items()}


def rows(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """The rooms by floor, the ground floor first: one above the highest that it imports."""
    floors: dict[str, int] = {}
    for name in ORDER:
        floors[name] = 1 + max((floors[other] for other in arrows[name]), default=-1)
    return [[name for name in ORDER if floors[name] == floor] for floor in range(1 + max(floors.values()))]


def render() -> str:
    """The picture, as SVG: the doors at the top, what imports nothing at the bottom."""
    arrows = rooms()
    drawn, floors = direct(arrows), rows(arrows)[::-1]
    across = max(map(len, floors))
    width = 2 * MARGIN + across * WIDTH + (across - 1) * GAP
    height = 2 * MARGIN + len(floors) * HEIGHT + (len(floors) - 1) * RISE
    corner = {}
    for row, names in enumerate(floors):
        left = (width - len(names) * WIDTH - (len(names) - 1) * GAP) / 2
        for place, name in enumerate(names):
            corner[name] = (left + place * (WIDTH + GAP), MARGIN + row * (HEIGHT + RISE))
    told = "; ".join(
        f"{name} imports {', '.join(sorted(aims, key=ORDER.index))}" for name, aims in drawn.items() if aims
    )
    font = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="{font}">',
        "<title>Architecture of beft_lib</title>",
        f"<desc>Each box is a package or module, each arrow an import: {told}.</desc>",
        '<defs><marker id="a" markerWidth="9" markerHeight="9" refX="8" refY="4.5" orient="auto">'
        '<path d="M0,0 L9,4.5 L0,9 z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *(_arrow(corner, name, aim) for name in ORDER for aim in sorted(drawn[name], key=ORDER.index)),
        *itertools.chain.from_iterable(_box(name, *corner[name]) for name in ORDER),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _box(name: str, x: float, y: float) -> list[str]:
    folder = (LIBRARY / name).is_dir()
    fill, stroke = ("#e6f4ef", "#009E73") if folder else ("#fdf3e0", "#E69F00")
    words = textwrap.shorten(purpose(name), 105, placeholder=" …")
    middle = f'x="{x + WIDTH / 2:g}" text-anchor="middle"'
    return [
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{fill}" stroke="{stroke}"/>',
        f'<text {middle} y="{y + 22:g}" font-weight="600" font-size="15">{name}{"/" if folder else ".py"}</text>',
        *(
            f'<text {middle} y="{y + 42 + 17 * place:g}" font-size="12" fill="#444">{escape(line)}</text>'
            for place, line in enumerate(textwrap.wrap(words, 38)[:3])
        ),
    ]


def _arrow(corner: Mapping[str, tuple[float, float]], name: str, aim: str) -> str:
    (x, y), (u, v) = corner[name], corner[aim]
    x, y, u = x + WIDTH / 2, y + HEIGHT, u + WIDTH / 2
    line = 'fill="none" stroke="#555" stroke-width="1.4" marker-end="url(#a)"'
    if v - y <= RISE:  # to the row below
        return f'<path d="M{x:g},{y:g} L{u:g},{v - 1:g}" {line}/>'
    bend = RISE * 0.9  # past the rows between, in a curve
    return f'<path d="M{x:g},{y:g} C{x:g},{y + bend:g} {u:g},{v - bend:g} {u:g},{v - 1:g}" {line}/>'


if __name__ == "__main__":
    PICTURE.write_text(render(), encoding="utf-8")
