"""The architecture's rules: imports go one way, the command line is light, notebooks are short and clean."""

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import architecture
import pytest
from architecture import LIBRARY, ORDER, ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MODULES = architecture.modules()
GRAPH = architecture.graph()
LIGHT = sorted(
    name
    for name in MODULES
    if name.split(".")[-1] in ("plan", "methods", "architectures", "catalogue", "ledger", "frames")
)

# What is longer than a screen, 60 lines; a bound may only fall.
LONG_FUNCTIONS = {"beft_lib.tuning.loop.tune": 96, "beft_lib.chapters.autoregressive.plan.plan": 61}
ROOMS_IN_INIT = {"beft_lib.tasks.toys"}  # and no further ones
LATE = 10  # lines that import a module of ours only when a function is called


def test_every_module_has_its_place():
    present = {p.stem if p.is_file() else p.name for p in LIBRARY.iterdir() if p.suffix in {".py", ""}}
    present = {name for name in present if not name.startswith("__")}
    assert present == set(ORDER) and len(present) <= 16


@pytest.mark.parametrize("name", ORDER)
def test_imports_go_one_way(name):
    allowed = set(ORDER[: ORDER.index(name)]) | {name, ""}
    for module, imported in GRAPH.items():
        if architecture.room(module) == name:
            assert {architecture.room(other) for other in imported} <= allowed, module


def test_modules_import_in_no_circle():
    reached: dict[str, set[str]] = {}

    def reach(module: str, path: tuple[str, ...]) -> set[str]:
        assert module not in path, " imports ".join((*path[path.index(module) :], module))
        if module not in reached:
            reached[module] = set().union(*({other} | reach(other, (*path, module)) for other in GRAPH[module]))
        return reached[module]

    for module in MODULES:
        reach(module, ())


def test_no_chapter_imports_another():
    chapters = {path.name for path in (LIBRARY / "chapters").iterdir() if (path / "__init__.py").is_file()}
    for module, imported in GRAPH.items():
        if module.startswith("beft_lib.chapters.") and (own := module.split(".")[2]) in chapters:
            others = {other for other in imported if other.startswith("beft_lib.chapters.")}
            assert {other.split(".")[2] for other in others} & chapters <= {own}, module


def test_few_of_our_modules_are_imported_late():
    late = {
        f"{name}, line {one.line}"
        for name, path in MODULES.items()
        for one in architecture.imports(path, MODULES)
        if one.lazy
    }
    assert len(late) <= LATE, sorted(late)


def test_names_are_known_without_torch():
    code = f"import importlib, sys\nfor name in {LIGHT!r}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("name", [name for name, path in MODULES.items() if path.name == "__init__.py"])
def test_a_package_only_hands_out_what_its_modules_have(name):
    """Its `__init__` imports, now or on use (PEP 562), and holds no code of its own."""
    if name in ROOMS_IN_INIT:
        return
    handed = ("__all__", "__version__", "_ON_USE")
    for node in ast.parse(MODULES[name].read_text(encoding="utf-8")).body:
        known = isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)
        known |= isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in handed
        known |= isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        known |= isinstance(node, ast.FunctionDef) and node.name == "__getattr__"
        assert known, f"{name}, line {node.lineno}"


@pytest.mark.parametrize("name", [name for name, path in MODULES.items() if "_ON_USE" in path.read_text("utf-8")])
def test_what_a_package_hands_out_on_use_is_there(name):
    package = importlib.import_module(name)
    for public in package.__all__:
        assert getattr(package, public) is not None


def test_a_module_is_one_sitting_and_a_function_one_screen():
    modules, functions = {}, {}
    for name, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        modules[name] = len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions[f"{name}.{node.name}"] = node.end_lineno - node.lineno + 1
    assert {name: n for name, n in modules.items() if n > 350} == {}
    assert {name: n for name, n in functions.items() if n > LONG_FUNCTIONS.get(name, 60)} == {}


def test_the_picture_of_the_architecture_is_of_these_imports():
    drawn = architecture.PICTURE.read_text(encoding="utf-8")
    assert drawn == architecture.render(), "python scripts/architecture.py draws it anew"


@pytest.mark.parametrize("arguments", [["--help"], ["--list"], ["quick", "--dry-run"]])
def test_the_command_line_answers_without_heavy_imports(arguments, tmp_path):
    code = (
        "import sys; from beft_lib.cli import main\n"
        f"try: main(['run', *{arguments!r}])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pandas', 'matplotlib', 'evaluate'} & set(sys.modules)\n"
        "light = {'yaml', 'pydantic', 'numpy'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy)); print('LIGHT', sorted(light))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stdout
    if "--dry-run" not in arguments:
        assert "LIGHT []" in done.stdout  # these two work before anything is installed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_sources_are_clean_and_short(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell in code:
        assert cell["outputs"] == [] and cell["execution_count"] is None, "run_all.sh executes copies; strip the source"
        listed = "parameters" in cell["metadata"].get("tags", [])  # a parameter a line
        assert len("".join(cell["source"]).splitlines()) <= (20 if listed else 15)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert not any(key in notebook["metadata"] for key in ("papermill", "widgets"))
    words = sum(len("".join(c["source"]).split()) for c in notebook["cells"] if c["cell_type"] == "markdown")
    assert words > sum(len("".join(c["source"]).split()) for c in code), "a notebook explains more than it computes"


def test_texts_name_no_host_and_no_machine():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    pattern = re.compile(r"/(?:work|home|Users|root)/|pypi\.org|files\.pythonhosted")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path == Path(__file__) or path.suffix in {".png", ".npz", ".zip", ".safetensors"} or not path.is_file():
            continue
        assert not pattern.search(path.read_text(encoding="utf-8")), name
