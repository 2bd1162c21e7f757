"""What a user's machine needs before the first result: the pins, and the scripts that install them.

The scripts run here in a copy of the checkout whose only `python3` is a fake that makes real environments but
gives them a fake pip: no network, nothing installed.
"""

import ast
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from processes import children, needs_proc

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ["run_all.sh", "run_tests.sh", ".ci/run"]
LOCK = (ROOT / "requirements.lock").read_text()
CHECK = runpy.run_path(str(ROOT / "scripts" / "check_lock.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
REQUIREMENTS = PYPROJECT["project"]["dependencies"] + EXTRAS["test"]


def machine(python, platform, processor):
    """The marker variables of a CPython on Linux or macOS."""
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": processor,
        "platform_python_implementation": "CPython",
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[platform],
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": platform,
        "extra": "",
    }


PYTHONS = ["3.10.13", "3.11.0", "3.11.7", "3.12.1", "3.13.0"]
PLATFORMS = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]
MACHINES = [machine(python, *platform) for python in PYTHONS for platform in PLATFORMS]


def pinned(values):
    """name -> version of the pins that apply on a machine."""
    chosen = [(n, v) for n, v, marker in CHECK["pins"](LOCK) if not marker or CHECK["holds"](marker, values)]
    assert len(chosen) == len(dict(chosen)), "a package is pinned twice"
    return dict(chosen)


# --- The pins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", MACHINES, ids=lambda v: f"{v['python_full_version']}-{v['sys_platform']}")
def test_lock_pins_every_direct_dependency_within_its_bounds(values):
    versions = pinned(values)
    for text in REQUIREMENTS:
        requirement = Requirement(text)
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{text}, but {version} is pinned"


def test_torch_is_exact_and_its_cuda_packages_are_left_to_pip():
    assert "torch==2.13.0" in REQUIREMENTS
    assert all(pinned(values)["torch"] == "2.13.0" for values in MACHINES)
    assert not re.search(r"(?m)^(nvidia|cuda|triton)", LOCK)


def test_lock_is_complete_and_belongs_to_no_place():
    names = {name for name, _, _ in CHECK["pins"](LOCK)}
    assert len(names) > 100  # the full closure, not only what we import
    assert not re.search(r"://|--|@|\\|\s/", LOCK.replace("# ", "")), "no hosts, options, paths or hashes"


def test_conda_installs_the_same_pins():
    text = (ROOT / "environment.yml").read_text()
    environment = yaml.safe_load(text)
    assert environment["channels"] == ["conda-forge"]
    *conda, pip = environment["dependencies"]
    assert [re.split("[=<>]", name)[0] for name in conda] == ["python", "pip"]
    assert pip == {"pip": ["-r requirements.lock", "-e ."]}
    assert "://" not in text
    python = Requirement(conda[0].replace("=", "==") + ".*").specifier
    assert any(python.contains(version) for version in PYTHONS)


def test_this_environment_holds_the_pins():
    assert CHECK["first_difference"](LOCK) is None


def test_every_import_is_a_declared_dependency():
    declared = {canonicalize_name(Requirement(text).name) for text in sum(EXTRAS.values(), REQUIREMENTS)}
    distributions = packages_distributions()
    for path in sorted((ROOT / "beft_lib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"beft_lib"}:
                providers = {canonicalize_name(d) for d in distributions.get(name, [name])}
                assert providers & declared, f"{path.relative_to(ROOT)} imports {name}, not in pyproject.toml"


def test_every_data_file_is_packaged():
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["beft_lib"]
    shipped = {path for pattern in patterns for path in (ROOT / "beft_lib").glob(pattern)}
    files = {path for path in (ROOT / "beft_lib").rglob("*") if path.is_file()}
    assert {path.relative_to(ROOT) for path in files - shipped if path.suffix not in (".py", ".pyc")} == set()


def test_one_version_everywhere():
    import beft_lib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PYPROJECT["project"]["version"] == beft_lib.__version__ == citation["version"]


# --- check_lock.py ------------------------------------------------------------------------------------------


def test_markers_mean_what_they_mean_to_pip():
    markers = {marker for _, _, marker in CHECK["pins"](LOCK) if marker} | {
        "python_version < '3.11' or (sys_platform == 'darwin' and platform_machine != 'x86_64')",
        "'linux' in sys_platform and platform_machine not in 'arm64 aarch64'",
        "python_full_version >= '3.9' and python_full_version < '3.11.5'",
    }
    for marker in markers:
        for values in MACHINES:
            assert CHECK["holds"](marker, values) == Marker(marker).evaluate(values), (marker, values)


@pytest.mark.parametrize("marker", ["os_name", "colour == 'red'", "os_name == 'posix')", "os_name ~ 'x'"])
def test_an_unknown_marker_is_not_guessed(marker):
    with pytest.raises(ValueError, match="unknown marker"):
        CHECK["holds"](marker, MACHINES[0])


@pytest.mark.parametrize(
    ("lock", "difference"),
    [
        ("Py_Yaml.Parts==1.0\n", "py-yaml-parts is missing (pinned: 1.0)"),
        ("pytest==0.1\n", "pytest is {pytest} (pinned: 0.1)"),
        ("pytest=={pytest}\n", None),
        ("# comment\npytest=={pytest}.0 ; python_version > '3.9'\nnone==1 ; python_version < '3'\n", None),
    ],
)
def test_check_lock_names_the_first_difference(tmp_path, lock, difference):
    version = pytest.__version__
    path = tmp_path / "lock"
    path.write_text(lock.format(pytest=version))
    command = [sys.executable, ROOT / "scripts" / "check_lock.py", path]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if difference is None:
        assert (answer.returncode, answer.stdout.splitlines()[0]) == (0, sys.executable)
    else:
        assert (answer.returncode, answer.stdout) == (1, difference.format(pytest=version) + "\n")


def test_a_cpu_build_counts_as_its_version():
    same = CHECK["same_version"]
    assert same("2.13.0", "2.13.0+cpu") and same("2.13", "2.13.0") and same("2.13.0+cpu", "2.13.0+cpu")
    assert not same("2.13.0", "2.13.1+cpu") and not same("2.13.0+cu130", "2.13.0+cpu") and not same("1", "10")


# --- The scripts --------------------------------------------------------------------------------------------

PYTHON3 = r"""#!/bin/sh
case "$*" in
*ensurepip*) printf '%s\n' "$FAKE_VERSION" "$0" "$FAKE_PARTS" ;;
*"-m venv"*)
    for folder; do :; done
    "$REAL" -I -m venv --without-pip "$folder" || exit
    for site in "$folder"/lib/python*/site-packages; do cp -R "$FAKE_PIP" "$site/pip"; done ;;
*) exec "$REAL" "$@" ;;
esac
"""

PIP = r"""
import os, pathlib, sys, time
time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
if os.environ.get("FAKE_ERROR"):
    sys.exit(os.environ["FAKE_ERROR"])
if "-r" in sys.argv:
    site = pathlib.Path(__file__).parents[1]
    for line in pathlib.Path(sys.argv[sys.argv.index("-r") + 1]).read_text().split():
        (site / (line.replace("==", "-") + ".dist-info")).mkdir()
"""

CLI = """
import os, sys
if __name__ == "__main__":
    import beft_lib
    print(os.path.dirname(beft_lib.__file__), *sys.argv[1:], sep="|")
    sys.exit(7)
"""


class Checkout:
    """A copy of what the scripts need, in a folder with a space, and a PATH with tools and fakes alone."""

    def __init__(self, folder):
        self.root = folder / "a checkout"
        self.venv = self.root / ".venv"
        self.bin = folder / "bin"
        (self.root / ".ci").mkdir(parents=True)
        shutil.copytree(ROOT / "scripts", self.root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        for name in SCRIPTS:
            shutil.copy(ROOT / name, self.root / name)
        (self.root / "requirements.lock").write_text("beft-needs-this==1.0\n")  # no real environment holds it
        (self.root / "beft_lib").mkdir()
        (self.root / "beft_lib" / "__init__.py").touch()
        (self.root / "beft_lib" / "__main__.py").write_text(CLI)
        (folder / "pip").mkdir()
        (folder / "pip" / "__main__.py").write_text(PIP)
        self.bin.mkdir()
        tools = "awk bash cp cut df dirname find grep ls mkdir readlink rm sed sh tail touch uname"
        for name in tools.split():
            (self.bin / name).symlink_to(shutil.which(name))
        self.fake("python3", PYTHON3)
        self.environment = {
            "PATH": str(self.bin),
            "HOME": str(folder),
            "REAL": sys.executable,
            "FAKE_VERSION": "3.12.1",
            "FAKE_PARTS": "venv",
            "FAKE_PIP": str(folder / "pip"),
        }

    def fake(self, name, text):
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *arguments, script=None, cwd=None, interrupt=signal.SIG_DFL, **environment):
        """`interrupt`: what SIGINT does at the start. A shell cannot trap it where it was ignored then, as it is for
        whatever started these tests in the background."""
        return subprocess.Popen(
            [script or self.root / "run_all.sh", *arguments],
            cwd=cwd or self.bin,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, interrupt),
        )

    def run(self, *arguments, **options):
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def answer(self, *arguments):
        """What the stand-in for the command line prints, with its exit status: it is this checkout's own."""
        return 7, "|".join([str(self.root / "beft_lib"), "run", *arguments]) + "\n"

    def assert_refused(self, *expected, **options):
        """One message with these parts, exit 2, no traceback, and nothing that the next start trips over."""
        status, out, err = self.run(**options)
        message = err[err.index("error: ") :]
        assert (status, out) == (2, "") and err.count("error: ") == 1 and "Traceback" not in err
        for part in expected:
            assert part in message
        self.fake("python3", PYTHON3)
        (self.bin / "df").unlink()
        assert self.run("next")[:2] == self.answer("next")


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.mark.parametrize("name", [*SCRIPTS, "scripts/environment.sh"])
def test_scripts_are_valid_bash(name):
    path = ROOT / name
    subprocess.run(["bash", "-n", path], check=True)
    if name in SCRIPTS:
        assert os.access(path, os.X_OK)
        assert "\nset -euo pipefail\n" in path.read_text()


def test_first_start_sets_up_and_the_next_is_quiet(checkout):
    status, out, err = checkout.run("quick", "--only", "a b")
    assert (status, out) == checkout.answer("quick", "--only", "a b")
    assert "Setting up .venv" in err and str(checkout.venv / "beft-setup.log") in err
    assert checkout.run("quick", "") == (*checkout.answer("quick", ""), "")


def test_the_engine_for_clusters_adds_its_own_lock_once(checkout):
    (checkout.root / "requirements-ray.lock").write_text("beft-ray-needs==2.0\n")
    assert checkout.run("quick")[:2] == checkout.answer("quick")
    assert not list(checkout.venv.glob("lib/python*/site-packages/beft_ray_needs*"))
    assert checkout.run("quick", "--engine", "local")[2] == ""
    status, out, err = checkout.run("quick", "--engine", "ray")
    assert (status, out) == checkout.answer("quick", "--engine", "ray") and "requirements-ray.lock" in err
    for option in (["--engine", "ray"], ["--engine=ray"]):
        status, out, err = checkout.run("quick", *option)
        assert (status, out) == checkout.answer("quick", *option) and err == ""


def test_an_active_environment_without_the_extra_is_left_alone(checkout):
    (checkout.root / "requirements.lock").write_text("")
    (checkout.root / "requirements-ray.lock").write_text("beft-ray-needs==2.0\n")
    status, out, err = checkout.run("quick", "--engine", "ray")
    assert (status, out) == (2, "") and "beft-ray-needs is missing" in err and "requirements-ray.lock" in err
    assert not checkout.venv.exists()


def test_the_extra_of_clusters_is_pinned_beside_the_lock():
    pins = {name: version for name, version, _ in CHECK["pins"]((ROOT / "requirements-ray.lock").read_text())}
    for text in EXTRAS["ray"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])
    assert not pins.keys() & {name for name, _, _ in CHECK["pins"](LOCK)}


def test_start_through_a_link_from_another_checkout_uses_this_one(checkout, tmp_path):
    checkout.run()
    other = tmp_path / "other"
    shutil.copytree(checkout.root / "beft_lib", other / "beft_lib")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "first").symlink_to("../a checkout/run_all.sh")
    (tmp_path / "second").symlink_to(tmp_path / "links" / "first")
    cwd = other if sys.version_info >= (3, 11) else tmp_path  # an older one imports from the current folder
    assert checkout.run("x", script=tmp_path / "second", cwd=cwd) == (*checkout.answer("x"), "")


@pytest.mark.parametrize("option", ["--help", "-h", "--list"])
def test_help_needs_no_environment(checkout, option):
    status, out, err = checkout.run(option, FAKE_PARTS="bare")
    assert (status, out, err) == (*checkout.answer(option), "")
    assert not checkout.venv.exists()


def test_active_environment_that_fits_is_used_as_it_is(checkout):
    (checkout.root / "requirements.lock").write_text(f"pytest=={pytest.__version__}\n")
    assert checkout.run("x") == (*checkout.answer("x"), "")
    assert not checkout.venv.exists()


def test_tests_run_through_pytest(checkout):
    (checkout.root / "requirements.lock").write_text(f"pytest=={pytest.__version__}\n")
    (checkout.root / "test_it.py").write_text("def test_it(): import beft_lib\n")
    status, out, err = checkout.run(script=checkout.root / "run_tests.sh")
    assert status == 0 and "1 passed" in out, out + err


def test_another_lock_a_moved_folder_or_a_lost_package_is_set_up_again(checkout):
    assert checkout.run()[0] == 7
    (checkout.root / "requirements.lock").write_text("beft-needs-that==2.0\n")
    assert "another requirements.lock" in checkout.run()[2]

    next(checkout.venv.glob("lib/python*/site-packages/beft-needs-that*")).rmdir()
    assert "beft-needs-that is missing" in checkout.run()[2]

    moved = checkout.root.rename(checkout.root.with_name("moved"))
    checkout.root, checkout.venv = moved, moved / ".venv"
    assert "another folder" in checkout.run()[2]
    assert checkout.run()[2] == ""

    (checkout.venv / "bin" / "python").unlink()
    (checkout.venv / "bin" / "python").symlink_to("/nowhere/python3")
    assert "Setting up .venv" in checkout.run()[2]
    assert checkout.run()[2] == ""


def test_foreign_venv_is_left_alone(checkout):
    mine = checkout.venv / "bin" / "mine"
    mine.parent.mkdir(parents=True)
    mine.touch()
    status, _, err = checkout.run()
    assert status == 2 and "was not made by this script" in err and mine.exists()


def test_two_starts_at_once_set_up_once(checkout):
    first, second = (checkout.start(name, FAKE_SECONDS="0.5") for name in "ab")
    errors = [process.communicate(timeout=60)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (7, 7)
    assert sorted("Setting up" in text for text in errors) == [False, True]
    assert any("waiting for it to end" in text for text in errors)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_interrupted_set_up_is_repeated(checkout, number):
    process = checkout.start(FAKE_SECONDS="2" if number == signal.SIGKILL else "30")
    pip = checkout.venv / "bin" / "python"
    while process.poll() is None and not pip.exists():
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(number)
    process.wait(timeout=60)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    status, out, err = checkout.run()  # after a kill it waits until the pip left behind has ended
    assert (status, out) == checkout.answer() and "Setting up" in err
    process.communicate()


@needs_proc
def test_where_interrupts_are_ignored_set_up_goes_on(checkout):
    first, second = (checkout.start(interrupt=signal.SIG_IGN, FAKE_SECONDS="1") for _ in range(2))
    while not (checkout.venv / "bin" / "python").exists() and first.poll() is second.poll() is None:
        time.sleep(0.05)
    time.sleep(0.2)
    for process in (first, second):  # one of them sets up, the other waits for it
        for number in (process.pid, *children(process.pid)):
            os.kill(number, signal.SIGINT)
    assert {process.communicate(timeout=60)[0] for process in (first, second)} == {checkout.answer()[1]}


def test_too_old_python_is_named(checkout):
    checkout.fake("python3", "#!/bin/sh\necho 3.9.18\n")
    checkout.assert_refused("Python 3.10 or newer", f"Python 3.9.18 ({checkout.bin / 'python3'})")


def test_missing_python_is_said(checkout):
    (checkout.bin / "python3").unlink()
    checkout.assert_refused("Python 3.10 or newer", "no python3 or python is on the PATH")


def test_python_without_venv_names_the_package(checkout):
    checkout.assert_refused("venv, ensurepip", "apt install python3.12-venv", FAKE_PARTS="bare")


def test_too_little_space_is_said_before_installing(checkout):
    checkout.fake("df", "#!/bin/sh\necho 'Filesystem 1024-blocks Used Available Capacity Mounted on'\n"
                        "echo 'a disk 41152736 40000000 1052736 98% /'\n")  # fmt: skip
    checkout.assert_refused("About 3 GB", "1028 MB are free", str(checkout.root))


def test_read_only_checkout_is_said(checkout):
    real = (checkout.bin / "mkdir").readlink()
    checkout.fake("mkdir", '#!/bin/sh\necho "mkdir: $2: Read-only file system" >&2; exit 1\n')
    status, _, err = checkout.run()
    assert status == 2 and "Cannot write to" in err and "(Read-only file system)" in err
    (checkout.bin / "mkdir").unlink()
    (checkout.bin / "mkdir").symlink_to(real)
    assert checkout.run()[0] == 7


NONE = "ERROR: Could not find a version that satisfies the requirement {0} (from versions: none)\n"
FAILURES = {
    "no name": (
        "WARNING: Retrying (Retry(total=0, connect=None, read=None)) after connection broken by "
        "'NewConnectionError(\"HTTPSConnection(host='x', port=443): Failed to establish a new connection: "
        "[Errno -2] Name or service not known\")': /simple/six/\n" + NONE.format("six==1.17.0"),
        ["package index could not be reached", "HTTPS_PROXY", "PIP_INDEX_URL"],
    ),
    "no certificate": (
        "Could not fetch URL https://x/simple/: There was a problem confirming the ssl certificate\n",
        ["package index could not be reached", "PIP_INDEX_URL"],
    ),
    "no index": (NONE.format("six==1.17.0"), ["package index could not be reached"]),
    "no build": (
        NONE.format("torch==2.13.0") + "ERROR: No matching distribution found for torch==2.13.0\n",
        ["no build of a pinned package", "macOS 14", "torch==2.13.0"],
    ),
    "no space": (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
        ["disk became full", "CPU wheels"],
    ),
    "no idea": ("ERROR: Something else\nmore\n", ["could not be installed", "ERROR: Something else"]),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failed_installation_says_why(checkout, name):
    log, expected = FAILURES[name]
    checkout.assert_refused(*expected, str(checkout.venv / "beft-setup.log"), FAKE_ERROR=log)


def test_pip_that_installs_something_else_is_not_trusted(checkout):
    pip = checkout.bin.parent / "pip" / "__main__.py"
    pip.write_text("")
    status, _, err = checkout.run()
    assert status == 2 and "beft-needs-this is missing" in err and "pip config list" in err
    pip.write_text(PIP)
    assert checkout.run()[0] == 7
