"""The notebooks: their typed parameters, and their execution by papermill into copies."""

import ast
import json
import logging
import os
import tempfile
import threading
import time
import types
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from beft_lib import workspace
from beft_lib.errors import UserError
from beft_lib.runs import workers

TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "None": None}


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's tagged cell: `seeds: list[int] = [0, 1, 2]`."""

    name: str
    type: Any  # a class, a union or a generic alias: what `TypeAdapter` takes
    annotation: str
    default: object

    def check(self, value: object, where: str) -> None:
        """Raise `UserError` unless the value has the declared type (an int will do for a float)."""
        from pydantic import ConfigDict, TypeAdapter, ValidationError

        try:
            TypeAdapter(self.type, config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError as error:
            raise UserError(
                f"{where}: {value!r} is not of type {self.annotation} ({error.errors()[0]['msg']})"
            ) from None


def folder() -> Path:
    """`notebooks/` of the checkout."""
    root = workspace.checkout()
    if root is None:
        raise UserError("the notebooks live in the source checkout; clone the repository")
    return root / "notebooks"


def names() -> list[str]:
    return sorted(path.stem for path in folder().glob("[0-9][0-9]_*.ipynb"))


@cache
def parameters(name: str) -> dict[str, Parameter]:
    """The typed parameters that a notebook's tagged cell declares, in order.

    Read from the source text, so that nothing is executed and a default that holds `=` is no problem.
    """
    cells = json.loads((folder() / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise RuntimeError(f"notebooks/{name}.ipynb has {len(tagged)} cells tagged 'parameters', it needs one")
    found = {}
    for line in ast.parse("".join(tagged[0]["source"])).body:
        if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)) or line.value is None:
            raise RuntimeError(f"notebooks/{name}.ipynb: a parameter needs a type and a default: {ast.unparse(line)}")
        key = line.target.id
        found[key] = Parameter(key, _type(line.annotation), ast.unparse(line.annotation), ast.literal_eval(line.value))
    return found


def _type(node: ast.expr) -> Any:
    """`str`, `int | None`, `list[int]`, ... without evaluating anything."""
    match node:
        case ast.Name(id=name) if name in TYPES:
            return TYPES[name]
        case ast.Constant(value=None):
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _type(left) | _type(right)
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return types.GenericAlias(list, (_type(inner),))
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, value])):
            return types.GenericAlias(dict, (_type(key), _type(value)))
    raise RuntimeError(
        f"unknown parameter type {ast.unparse(node)}; known: {', '.join(TYPES)}, list[...], dict[..., ...], ... | None"
    )


@dataclass(frozen=True)
class Outcome:
    """How an execution ended: `error` is None when every cell ran."""

    copy: Path
    seconds: float
    error: str | None


class Executor:
    """Processes of our own in which papermill executes notebooks, and whatever else needs heavy imports.

    papermill changes the environment and the error stream of its process, which are not ours to change while runs start
    beside it. Processes stay for a next call; one that dies is replaced. To be used in a `with` block, after which none
    is left.
    """

    def __init__(self, processes: int = 1):
        self._count, self._pool = processes, None

    def __enter__(self) -> "Executor":
        return self

    def __exit__(self, *_) -> None:
        if self._pool is not None:
            workers.end(self._pool)

    def call(self, function: Callable, *arguments, **named):
        """The function's value, computed in a process that works in the caller's workspace and folder."""
        if self._pool is None:
            context = workers.context(server=False)
            self._pool = ProcessPoolExecutor(self._count, context, workers.end_with_caller)
        where = workers.caller()
        try:
            return self._pool.submit(workers.call, *where, partial(function, *arguments, **named)).result()
        except BrokenProcessPool:
            self._pool = None
            raise

    def execute(self, name: str, copy: Path, values: dict, echo: Callable[[str], None]) -> Outcome:
        """Execute a notebook with these parameters into `copy`, its kernel in a process of its own.

        The source is only read. The kernel starts in the current folder, so that a relative path in a parameter means
        what it meant on the command line, works in the workspace of the caller, and imports the same beft_lib. The
        progress lines of the notebook's sweeps are echoed as they come. An exception in the notebook is an outcome, not
        an exception here.
        """
        source = folder() / f"{name}.ipynb"
        copy.parent.mkdir(parents=True, exist_ok=True)
        begun = copy.with_suffix(".partial.ipynb")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="beft-", dir="/tmp") as scratch, ExitStack() as stack:
            told = replace(
                workspace.current(), progress=Path(scratch) / "progress", variant=copy.stem.removeprefix(name)
            )
            stack.enter_context(_echo(Path(scratch) / "progress", echo))
            try:
                error = self.call(_run, source, begun, values, told.environment(), scratch)
            except BrokenProcessPool:
                error = "the notebook's process died, as happens when memory runs out"
            finally:
                if begun.exists():
                    workspace.write_whole(copy, _clean(begun.read_text(encoding="utf-8")))
                    begun.unlink()
        return Outcome(copy, time.monotonic() - started, error)


def _run(source: Path, copy: Path, values: dict, told: dict[str, str], scratch: str) -> str | None:
    """Execute into `copy`; what went wrong in one sentence, None if nothing did.

    `told`: the environment of the kernel's workspace; `scratch`: a folder with a short path, in which its sockets lie
    beside its connection file: no port to collide on, nothing on the network. (Without that file their path would be
    relative, and two kernels of one folder would share it.)
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of parameters whose type it cannot read
    own = {"JUPYTER_RUNTIME_DIR": scratch, "JUPYTER_PREFER_ENV_PATH": "1", "MPLBACKEND": "agg"}
    os.environ.update(told | own | {"PYTHONPATH": _python_path()})
    with _kernel_log() as log:
        try:
            papermill.execute_notebook(
                str(source),
                str(copy),
                parameters=values,
                kernel_name="python3",
                cwd=str(Path.cwd()),
                progress_bar=False,
                log_output=False,
                start_timeout=600,  # a busy machine: a minute, papermill's own, is then not enough
                config=Config({"KernelManager": {"transport": "ipc", "connection_file": f"{scratch}/kernel.json"}}),
            )
        except papermill.exceptions.PapermillExecutionError as failure:
            return f"{failure.ename}: {failure.evalue}"
        except DeadKernelError:
            log.seek(0)
            last = log.read()[-500:].decode(errors="replace").strip()
            return f"the notebook's process died, as happens when memory runs out. {last}".strip()
    return None


@contextmanager
def _kernel_log():
    """What a kernel started inside the block prints beside its cells goes to a file, which is read only if it dies."""
    with tempfile.TemporaryFile() as log:
        terminal = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield log
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _python_path() -> str:
    """The kernels import the same beft_lib as this process."""
    root = str(workspace.checkout())
    return os.pathsep.join([root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])


def _clean(text: str) -> str:
    """Drop what differs from run to run and names this machine: papermill's paths and times, the language's version."""
    content = json.loads(text)
    content["metadata"].pop("papermill", None)
    for cell in content["cells"]:
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


@contextmanager
def _echo(path: Path, echo: Callable[[str], None]):
    """Pass on the lines that are appended to a file while the block runs."""
    path.touch()
    stop = threading.Event()

    def follow() -> None:
        with open(path, encoding="utf-8") as file:
            rest, last = "", False
            while not last:
                last = stop.wait(0.2)  # one more look after the end
                *lines, rest = (rest + file.read()).split("\n")
                for line in lines:
                    echo(line)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
