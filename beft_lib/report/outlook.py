"""What a profile will take: runs, hours, memory, the longest chain, and what a cluster of so many nodes makes of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from beft_lib import models, sweep
from beft_lib.engines import needs
from beft_lib.runs import RunSpec

GIGA = 10**9
PASSES = 4  # operations a scalar and token of bias tuning: two forward, two back through the activations


class Rate(NamedTuple):
    """What a device does in a second, in 10⁹ operations: at its best, by the maker's sheet, in fp32 and in bf16."""

    name: str
    fp32: float
    bf16: float


USED = 0.3  # of its best that training gets out of a device: an assumption, printed beside what follows from it
DEVICES = (
    Rate("one CPU core", 100, 100),
    Rate("T4", 8_100, 65_000),
    Rate("A40", 37_400, 149_700),
    Rate("A100", 19_500, 312_000),
    Rate("H100", 66_900, 989_000),
)
NODES = (1, 4, 16, 64)


def operations(spec: RunSpec) -> float | None:
    """How many operations a run takes, in 10⁹; None for a model whose size is not known before it is fetched."""
    size = models.size(spec.model)
    return None if size is None else sweep.work(spec) * PASSES * size.parameters / GIGA


def seconds(spec: RunSpec, device: Rate) -> float | None:
    """How long a run takes on a device that is used to `USED` of its best."""
    found = operations(spec)
    return None if found is None else found / (USED * (device.bf16 if spec.precision == "bf16" else device.fp32))


def chain(times: Mapping[RunSpec, float]) -> float:
    """The longest wait for one thing after another: a run, and a merged run that is made from it."""
    ended = {spec.run_id: time for spec, time in times.items() if spec.parts is None}
    merged = [
        time + max((ended.get(run, 0.0) for run in [*(r for r, _ in spec.parts), *(spec.head_of or ())]), default=0.0)
        for spec, time in times.items()
        if spec.parts is not None
    ]
    return max([*ended.values(), *merged], default=0.0)


def lines(notebooks: Mapping[str, Sequence[RunSpec]]) -> Iterator[str]:
    """For readers, what these runs will take: each notebook's, and all together on nodes of each kind.

    By the speed of this machine's stored runs where each model has some; else by counted operations on named devices.
    """
    new = list(dict.fromkeys(spec for specs in notebooks.values() for spec in specs))
    if not new:
        return
    unknown = sorted({spec.model for spec in new if models.size(spec.model) is None})
    speeds = sweep.speeds({spec.model for spec in new})
    known = all(speeds[spec.model] for spec in new)
    if known:
        times = {"this machine": {spec: sweep.work(spec) / (speeds[spec.model] or 1.0) for spec in new}}
        yield "by the speed of this machine's stored runs, one worker:"
    else:
        counted = [spec for spec in new if spec.model not in unknown]
        times = {one.name: {spec: seconds(spec, one) or 0.0 for spec in counted} for one in DEVICES}
        sheet = ", ".join(f"{one.name} {one.fp32 / 1000:g} ({one.bf16 / 1000:g} in bf16)" for one in DEVICES)
        yield f"by counted operations, where a device does {USED:.0%} of its best, in TFLOP/s: {sheet}"
        if unknown:
            yield f"without the runs of {', '.join(unknown)}, whose size is not known before it is fetched"
    for name, specs in notebooks.items():
        if specs:
            yield f"  {name}: {len(specs)} runs, {_memory(specs)}; hours: {_hours(times, specs)}"
    yield f"  all: {len(new)} runs; hours: {_hours(times, new)}"
    for name, own in times.items():
        longest = chain(own)
        spread = ", ".join(f"{n}: {hours(max(sum(own.values()) / n, longest))}" for n in NODES)
        yield f"  hours on nodes of {name}, a run at a time each: {spread}; longest chain {hours(longest)}"


def _hours(times: Mapping[str, Mapping[RunSpec, float]], specs: Sequence[RunSpec]) -> str:
    each = {name: sum(own.get(spec, 0.0) for spec in dict.fromkeys(specs)) for name, own in times.items()}
    return ", ".join(f"{name} {hours(total)}" for name, total in each.items())


def _memory(specs: Sequence[RunSpec]) -> str:
    """The largest need of memory, of a process and of a GPU."""
    every = [needs.need(spec) for spec in specs]
    gpu = max(every, key=lambda one: one.device_whole)
    return (
        f"{max(one.memory for one in every) / GIGA:.1f} GB of memory a run at most, or of a GPU "
        f"{gpu.device_whole / GIGA:.1f} GB ({gpu.device_least / GIGA:.1f} GB with a smaller micro-batch)"
    )


def hours(seconds: float) -> str:
    """Seconds as hours, with two significant digits; "< 0.01" of less than 36."""
    if 0 < seconds < 36:
        return "< 0.01"
    return f"{float(f'{seconds / 3600:.2g}'):,g}"
