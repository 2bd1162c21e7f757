"""How much memory this process took at most, since it was asked to start measuring."""

import torch


def reset() -> bool:
    """Start measuring the peak anew, since a worker carries out many runs; False where the system cannot."""
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
    """Largest resident size of the process since the reset; on a GPU, the memory torch allocated at most."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 2**10
