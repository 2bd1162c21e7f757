"""What a result was made with: versions, processor, threads, the code's commit; and how much memory it took at most."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from typing import Any

from beft_lib import __version__, workspace

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "evaluate", "numpy", "scipy", "scikit-learn")


@cache
def describe() -> dict[str, Any]:
    """Everything about the machine and the code that could explain a difference between two results."""
    import torch

    return {
        "beft": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "peft": version("peft"),  # of LoRA and prefix tuning; the records tell machines apart by `packages`
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        **commit(),
    }


@cache
def commit() -> dict[str, Any]:
    """The commit of the checkout and whether tracked files differ from it; None where there is no checkout."""
    root = workspace.checkout()
    if root is None:
        return {"commit": None, "dirty": None}
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True)
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], cwd=root, capture_output=True, text=True
        )
    except FileNotFoundError:  # git is not installed
        return {"commit": None, "dirty": None}
    if head.returncode:
        return {"commit": None, "dirty": None}
    return {"commit": head.stdout.strip(), "dirty": bool(changes.stdout.strip())}


def processor() -> str:
    """This machine's processor and number of cores, as a result records it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            for line in info:
                if line.startswith("model name"):
                    return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores"
    except OSError:
        pass
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def reset_peak() -> bool:
    """Start measuring this process's peak of memory anew, since a worker carries out many runs; False where the system
    cannot."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        return True
    except OSError:
        return False


def peak_mb() -> float:
    """Largest resident size of the process since the reset, in MB; on a GPU, what torch allocated at most."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 2**10
