"""The architecture's rules: imports go one way, the command line is light, notebooks are short and clean."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "beft_lib"

# In the order data flows: a module imports only from those before it, and a package's own parts.
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
    "sweep",
    "evidence",
    "chapters",
    "report",
    "cli",
]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def imported(path: Path) -> set[str]:
    """The beft_lib modules that a file imports anywhere, inside functions too."""
    package = ("beft_lib", *path.relative_to(LIBRARY).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            if module[:1] == ["beft_lib"]:
                found |= {module[1]} if len(module) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("beft_lib.")}
    return found


def test_every_module_has_its_place():
    present = {p.stem if p.is_file() else p.name for p in LIBRARY.iterdir() if not p.name.startswith("__")}
    assert present == set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_go_one_way(name):
    path = LIBRARY / f"{name}.py"
    files = [path] if path.exists() else sorted((LIBRARY / name).rglob("*.py"))
    allowed = set(ORDER[: ORDER.index(name)]) | {name}
    for file in files:
        assert {m for m in imported(file) if not m.startswith("_")} <= allowed, file


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
        if path == Path(__file__) or path.suffix in {".png", ".npz", ".safetensors"} or not path.is_file():
            continue
        assert not pattern.search(path.read_text(encoding="utf-8")), name
