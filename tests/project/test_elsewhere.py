"""A notebook alone in an empty folder, as on Colab: it installs the library from the repository's address and runs."""

import json
import os
import shutil
import site
import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(tmp_path):
    """An environment of its own that has what the library needs, but not the library."""
    venv.create(tmp_path / "env", symlinks=True)
    (packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    (packages / "shared.pth").write_text("\n".join(site.getsitepackages()))
    return tmp_path / "env" / "bin" / "python"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="installs from a git checkout")
def test_a_notebook_alone_installs_the_library_and_runs(environment, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    shutil.copy(ROOT / "notebooks" / "00_quickstart.ipynb", folder)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("BEFT_", "PYTHONPATH"))}
    own |= {"BEFT_REPOSITORY": f"file://{ROOT}", "PIP_NO_BUILD_ISOLATION": "0", "JUPYTER_PREFER_ENV_PATH": "0"}
    own |= {"BEFT_CACHE": str(tmp_path / "cache")}
    known = subprocess.run([environment, "-c", "import beft_lib"], cwd=folder, capture_output=True, text=True, env=own)
    assert "No module named 'beft_lib'" in known.stderr
    parameters = ["-p", "model", "tiny-bert", "-p", "epochs", "1", "-y", "seeds: [0, 1]"]
    command = [environment, "-m", "papermill", "--kernel", "python3", "00_quickstart.ipynb", "done.ipynb", *parameters]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=own)
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads((folder / "done.ipynb").read_text())["cells"]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")
    where = subprocess.run(
        [environment, "-c", "import beft_lib; print(beft_lib.__file__)"],
        **{"cwd": folder, "capture_output": True, "text": True, "env": own},
    )
    assert str(tmp_path / "env") in where.stdout and (tmp_path / "cache" / "runs").is_dir()
