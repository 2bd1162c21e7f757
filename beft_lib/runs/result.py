"""What comes out of a run, as it is stored: `RunResult` and its parts."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A metric: `value` and `stderr` are fractions (0.853 ± 0.012), over `n` examples of `split`."""

    metric: str
    split: str
    value: float
    stderr: float
    n: int


class Importance(BaseModel):
    """The importance of one term under one approach: a score a layer, None where it is undefined.

    `layers`: numbers from 0, or [None] for a bias outside the layers (see `importance.Score`).
    """

    approach: str
    term: str
    layers: list[int | None]
    scores: list[float | None]


class Snapshot(BaseModel):
    """The importance of the terms in mid-run: `scores[approach][term]`, means over layers, after `step` steps."""

    share: float  # of the run's steps
    step: int
    scores: dict[str, dict[str, float | None]]


class Alignment(BaseModel):
    """How two parts of a merged run lie to each other in one bias: products and ℓ2 norms, of their changes and of the
    tuned biases themselves (the model's own plus the change)."""

    parts: tuple[int, int]  # places in the spec's parts
    key: str  # of the bias
    size: int  # its scalars
    dot: float
    norms: tuple[float, float]
    tuned_dot: float
    tuned_norms: tuple[float, float]


class Epoch(BaseModel):
    """The metrics after an epoch (1, 2, ...)."""

    epoch: int
    metrics: list[Value]


class RunResult(BaseModel):
    """What came out of a run, and under which conditions. `status`: "done", or "failed" with the reason."""

    model_config = ConfigDict(extra="forbid")

    run_id: str
    spec: dict[str, Any]
    status: str
    reason: str | None = None
    data: dict[str, Any]  # identity, digest of the training ids, counts, truncated examples
    metrics: list[Value] = []  # the task's primary metric on its first validation split comes first
    losses: list[float] = []
    importance: list[Importance] = []
    trajectory: list[Snapshot] = []  # of a ranking run: the scores that come from the change, at SHARES of the steps
    curve: list[Epoch] = []  # of a run that evaluates each epoch
    alignment: list[Alignment] = []  # of a merged run
    # seconds, cpu_seconds, tokens, tokens_padded, peak_memory_mb, trainable, head, parameters, delta_bytes, and the
    # forward pass that computed it: "encoder" (`tuning.encoder_pass`) or "transformers"
    cost: dict[str, Any]
    environment: dict[str, Any]  # versions, processor, threads, git commit
    recorded: float  # seconds since the epoch
    files: dict[str, str] = {}  # name → sha256

    @property
    def done(self) -> bool:
        return self.status == "done"

    @property
    def lost(self) -> bool:
        """Whether nothing came out of the run because whatever carried it out ended first."""
        return self.status == "failed" and not self.data


class Damaged(Exception):
    """A stored run that cannot be trusted; the message says why."""
