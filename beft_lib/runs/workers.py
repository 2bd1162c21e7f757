"""Processes of this machine that carry out runs: how they start, what they know of their caller, how they end.

    pool       an executor; consecutive calls that ask for the same number of processes get the same ones
    call       what is submitted to it: a function, with the environment and the folder of the caller
    context    how a process starts: beside the caller, or from a server that has imported the libraries once
    close      end the processes that wait for a next call

A process ends when the one that started it dies, however it dies. It never imports the script that started it, which
thus needs no `if __name__ == "__main__"`.
"""

import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any

from beft_lib import models, workspace

# The same for all that start processes, because there is one server: the first to start one decides.
PRELOADED = ["beft_lib.runs.timing", "beft_lib.runs.execute", "peft", "transformers"]
IDLE_SECONDS = 60  # as long workers wait for a next sweep, with the memory that they hold
DEVICES = "CUDA_VISIBLE_DEVICES"

# ---------------------------------------------------------------------------------------------------- starting


class _Knowing(BaseProcess):
    """A process with its caller's workspace and environment as they are now, not as when the server started."""

    def start(self) -> None:
        self._environment = workspace.environment()
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")  # has no file: nothing to import in the new process
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main

    def run(self) -> None:
        _set_environment(self._environment)
        super().run()


class _FromServer(_Knowing, ForkServerProcess):
    pass


class _Beside(_Knowing, SpawnProcess):
    pass


class _ServerContext(ForkServerContext):
    Process = _FromServer


class _BesideContext(SpawnContext):
    Process = _Beside


def context(server: bool = True):
    """The multiprocessing context: processes are forked from a server that has imported the libraries; or each is new.

    What libraries read from the environment when they are imported is that of the server's start.
    """
    if not server:
        return _BesideContext()
    made = _ServerContext()
    made.set_forkserver_preload(PRELOADED)
    return made


def _set_environment(values: dict[str, str]) -> None:
    for name in os.environ.keys() - values.keys():
        del os.environ[name]
    os.environ.update(values)


# ---------------------------------------------------------------------------------------------------- the pool

_lock = threading.Lock()
_kept: tuple[tuple[Any, ...], ProcessPoolExecutor, threading.Timer] | None = None  # the pool that nobody uses now


@contextmanager
def pool(processes: int, threads: int) -> Generator[ProcessPoolExecutor, None, None]:
    """An executor of `processes` workers with as many threads each, and a share of the GPUs, if there are any.

    Its processes start as they are needed. After the block they wait for a next one, for a while; with GPUs they end,
    so that they hold no memory there, and after an exception they end at once, whatever they are doing.
    """
    # Of all that the libraries import something may look for a GPU, and CUDA does not live through a fork.
    devices = workspace.shares(processes)
    forked = sys.platform == "linux" and not any(devices) and not os.path.exists("/dev/kfd")  # an AMD GPU's
    key = (os.getpid(), processes, threads)
    executor = None if any(devices) else _take(key)
    if executor is None:
        own = context(forked)
        queue = own.SimpleQueue()
        for share in devices:
            queue.put(share)
        executor = ProcessPoolExecutor(processes, own, _start, (threads, queue))
    try:
        yield executor
    except BaseException:
        end(executor)
        raise
    if any(devices):
        executor.shutdown()
    else:
        _keep(key, executor)


def caller() -> tuple[dict[str, str], str, dict[str, models.Architecture]]:
    """What `call` needs of its caller: its environment, its folder, and the layouts that it registered."""
    return workspace.environment(), os.getcwd(), models.registered()


def call(
    environment: dict[str, str],
    folder: str,
    layouts: dict[str, models.Architecture],
    function: Callable[..., Any],
    *arguments: Any,
) -> Any:
    """In a worker: call a function in the folder, with the environment and the layouts that its caller has now."""
    models.take_over(layouts)
    own = {DEVICES: os.environ[DEVICES]} if DEVICES in os.environ else {}
    _set_environment(environment | own)
    os.chdir(folder)
    return function(*arguments)


def close() -> None:
    """End the workers that wait for a next call."""
    if (executor := _take(None)) is not None:
        end(executor)


def _take(key: tuple[Any, ...] | None) -> ProcessPoolExecutor | None:
    """The kept pool if it is the one asked for; another one is ended (`key` None: the pool, whichever it is)."""
    global _kept
    with _lock:
        kept, _kept = _kept, None
    if kept is None:
        return None
    (pid, *_), executor, timer = kept
    timer.cancel()
    if pid != os.getpid():  # this process is a fork of the one whose workers they are
        return None
    alive = not executor._broken and all(process.is_alive() for process in (executor._processes or {}).values())
    if key is None or (kept[0] == key and alive):
        return executor
    end(executor)
    return None


def _keep(key: tuple[Any, ...], executor: ProcessPoolExecutor) -> None:
    global _kept
    close()  # the pool of a call in another thread
    timer = threading.Timer(IDLE_SECONDS, close)
    timer.daemon = True
    with _lock:
        _kept = (key, executor, timer)
    timer.start()


def end(executor: ProcessPoolExecutor) -> None:
    """End the workers at once: after an error or Ctrl-C nobody waits for their runs, which resume from checkpoints."""
    processes = list((executor._processes or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(5)


def _start(threads: int, devices: Any) -> None:
    """In a new worker: threads, its GPUs, and an end of its own when its caller is killed, so that it is no orphan."""
    if share := devices.get():
        os.environ[DEVICES] = ",".join(share)  # before torch looks
    end_with_caller()

    import torch

    torch.set_num_threads(threads)


def end_with_caller() -> None:
    """In a new process: Ctrl-C is for its caller, who ends it; and it ends when the caller dies, however that dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
