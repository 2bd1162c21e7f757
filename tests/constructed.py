"""Runs whose numbers are chosen: written into the test's own store as if they had been made."""

import io
import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from beft_lib import importance, tasks
from beft_lib.runs import Importance, RunResult, RunSpec, Value, store
from beft_lib.runs.result import Alignment, Epoch, Snapshot
from beft_lib.runs.timing import Timing, Turn
from beft_lib.tasks import metrics
from beft_lib.tuning.prompt_tokens import Choices, Contexts, Option

N_TRAIN = {"low": 1000, "medium": 5000, "high": 9000, "all": 50000}
DENSE = "attention.output.dense"
VALUE = {"value": 0.5, DENSE: 0.3, "query": 0.1, "key": 0.0}  # scores that select b_v
QUERY = {"query": 11.0, "value": 9.0, DENSE: 4.0, "key": 0.0}  # scores that select b_q
UNDEFINED = dict.fromkeys(VALUE)
IMPORTANCE = dict.fromkeys(importance.APPROACHES, VALUE) | {"magnitude": QUERY}  # as in the paper's Fig. 1

Scores = Mapping[str, Sequence[float | None]]
MACHINE = {"processor": "constructed", "packages": {"torch": "0"}}


def setting(
    scores: Scores,
    model: str = "minilm-l6",
    task: str = "sst2",
    regime: str = "low",
    n_eval: int = 400,
    importance: Mapping[str, Mapping] | None = None,
    trajectory: Sequence[Snapshot] | Mapping[int, Sequence[Snapshot]] = (),
    ranked: bool = True,
    scattered: bool = False,
    ids: str = "example",
    elsewhere: Mapping[str, Scores] | None = None,
    trainable: Mapping[str, int] | None = None,
    **more,
) -> list[RunSpec]:
    """The stored runs of one setting, a method and seed each, and of all biases (a ranking run a seed).

    `scores`: a fraction a seed by method, exactly what the predictions achieve (about, for a regression); None for a
    run that failed. The right predictions of a higher score include those of a lower one, unless they are `scattered`:
    drawn anew for every run. `importance`: terms' scores by approach, each one for all seeds or a list of one a seed;
    what is left out is `IMPORTANCE`. `elsewhere`: scores on further validation splits. `trainable`: scalars by method.
    """
    given, seeds = IMPORTANCE | dict(importance or {}), range(max(len(own) for own in scores.values()))
    scores = {"all_biases": [0.75] * len(seeds)} | dict(scores) if ranked else scores
    split, made = tasks.get(task).validation[0].split, []
    for method, own in scores.items():
        for seed, score in enumerate(own):
            made.append(specified(model, task, regime, method=method, seed=seed, **more))
            on = {split: score} | {name: other[method][seed] for name, other in (elsewhere or {}).items()}
            if score is None:
                written(made[-1], status="failed", reason="the loss is not finite")
                continue
            ranking = {}
            if method == "all_biases":
                along = trajectory.get(seed, ()) if isinstance(trajectory, Mapping) else trajectory
                ranking = {"importance": _importance(given, seed), "trajectory": list(along)}
            written(made[-1], on, n_eval, ids, scattered, (trainable or {}).get(method, 48), **ranking)
    return made


def specified(model: str, task: str, regime: str, method: str, **more) -> RunSpec:
    """A spec that needs neither data nor weights."""
    given = {"source": "local:anywhere", "data": "constructed", "weights": "constructed"}
    given |= {"ranking": method == "all_biases", "n_train": N_TRAIN.get(regime)}
    return RunSpec(**given | {"model": model, "task": task, "regime": regime, "method": method} | more)


def written(
    spec: RunSpec,
    scores: Mapping[str, float] | None = None,
    n: int = 400,
    ids: str = "example",
    scattered: bool = False,
    trainable: int = 48,
    options: np.ndarray | None = None,
    **outcome,
) -> RunResult:
    """Store a run that achieves these scores by split. `options`: (n, c), what it scored each prompt's options with."""
    arrays, values, task = {}, [], tasks.get(spec.task)
    data = {"version": spec.data, "train": spec.n_train, "available": 60000, "truncated": 3}
    for place, (split, score) in enumerate((scores or {}).items()):
        rng = np.random.default_rng(zlib.crc32(f"{spec.method} {spec.seed}".encode()) if scattered else 7 + place)
        arrays |= {f"{split}/ids": np.array([f"{ids} {i}" for i in range(n)])}
        data |= {split: n, f"{split}_truncated": 1}
        if task.prompts:
            points = np.float32(rng.permutation(n) < round(score * n))
            arrays |= {
                f"{split}/points": np.stack([points] * len(task.metrics), axis=1),
                f"{split}/labels": np.zeros(n),
            }
            arrays |= {} if options is None else {f"{split}/scores": options}
            values += [
                Value(metric=m, split=split, n=n, value=metrics.mean_of_points(points), stderr=0.01)
                for m in task.metrics
            ]
            data |= {f"{split}_dropped": 0, f"{split}_shortened": 0} if spec.method == "in_context" else {}
            continue
        labels, logits = _predictions(task, score, n, rng)
        arrays |= {f"{split}/labels": labels, f"{split}/logits": logits}
        predicted = logits.squeeze(-1) if task.regression else logits.argmax(-1)
        values += [
            Value(metric=m, split=split, n=n, value=metrics.compute(m, predicted, labels), stderr=0.01)
            for m in task.metrics
        ]
        assert task.regression or abs(values[-len(task.metrics)].value - score) < 1e-9, "no such score: other n_eval"
    cost = {"trainable": trainable, "parameters": 10000, "train_seconds": 100.0, "steps": spec.total_steps}
    about = {"run_id": spec.run_id, "spec": spec.portable, "environment": MACHINE, "recorded": 1.0, "data": data}
    result = RunResult(**{"status": "done", "cost": cost, "metrics": values} | about | outcome)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    store.write(result, {"predictions.npz": buffer.getvalue()} if arrays else {})
    return result


def _predictions(task: tasks.Task, score: float, n: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and logits (n, c): as many of each class, the same share of each right; (n, 1) for a regression."""
    if task.regression:
        labels = np.linspace(0, 5, n)
        noise = rng.permutation(labels) - labels.mean()
        wrong = np.sqrt(1 - score**2) * noise
        return labels, (score * (labels - labels.mean()) + wrong)[:, None]
    c = task.num_labels
    labels = np.arange(n) % c
    share = (1 + score) / 2 if task.metric == "matthews" else score
    predicted = (labels + 1) % c
    for label in range(c):
        members = rng.permutation(np.flatnonzero(labels == label))
        right = members[: round(share * len(members))]
        predicted[right] = label
    return labels, np.eye(c)[predicted]


def _importance(given: Mapping[str, Mapping], seed: int) -> list[Importance]:
    entries = []
    for approach, terms in given.items():
        for term, score in terms.items():
            own = score[seed] if isinstance(score, (list, tuple)) else score
            entries.append(Importance(approach=approach, term=term, layers=[0, 1], scores=[own, own]))
    return entries


def snapshots(*chosen: str, approach: str = "projection") -> list[Snapshot]:
    """A trajectory over as many shares of 1000 steps, at each of which the approach selects this term."""
    shares = (0.01, 0.1, 0.5, 1.0)
    assert len(chosen) == len(shares)
    return [
        Snapshot(
            share=s, step=round(1000 * s), scores={approach: {t: float(t == c) for t in ("query", "key", "value")}}
        )
        for s, c in zip(shares, chosen)
    ]


def searched(
    task: str, curves: Mapping[float, Sequence[float] | None], seed: int = 100, method: str = "all_biases"
) -> list[RunSpec]:
    """The stored runs of a search: the score after every epoch by learning rate, None for a run that diverged."""
    made = []
    for rate, curve in curves.items():
        about = {"seed": seed, "learning_rate": rate, "epochs": len(curve or [1]), "evaluation": "development"}
        about |= {"n_eval": 300, "each_epoch": True, "ranking": False}
        made.append(specified("minilm-l6", task, "low", method=method, **about))
        if curve is None:
            written(made[-1], status="failed", reason="the loss is not finite")
            continue
        value = {"metric": tasks.get(task).metric, "split": "development", "stderr": 0.01, "n": 300}
        epochs = [Epoch(epoch=i, metrics=[Value(value=score, **value)]) for i, score in enumerate(curve, start=1)]
        written(made[-1], curve=epochs, metrics=epochs[-1].metrics)
    return made


def aligned(
    seed: int,
    *changes: Mapping[str, Sequence[float]],
    tuned: Sequence[Mapping[str, Sequence[float]]] | None = None,
    task: str = "sst2",
    score: float = 0.8,
    **more,
) -> RunSpec:
    """A stored merged run, the parts of which changed these biases so: a vector by key each.

    `tuned`: what the biases are after it, likewise; left out, those of a model whose own are zero.
    """
    tuned = changes if tuned is None else tuned
    about = {"parts": tuple((f"part {seed} {i}", 1 / len(changes)) for i in range(len(changes)))}
    made = specified("minilm-l6", task, "low", method="merged", seed=seed, **about | more)
    alignment = [
        Alignment(
            parts=(i, j),
            key=key,
            size=len(changes[i][key]),
            dot=np.dot(changes[i][key], changes[j][key]),
            norms=tuple(np.linalg.norm(changes[part][key]) for part in (i, j)),
            tuned_dot=np.dot(tuned[i][key], tuned[j][key]),
            tuned_norms=tuple(np.linalg.norm(tuned[part][key]) for part in (i, j)),
        )
        for i in range(len(changes))
        for j in range(i + 1, len(changes))
        for key in changes[0]
    ]
    written(made, {tasks.get(task).validation[0].split: score}, alignment=alignment)
    return made


def timed(
    seconds: Mapping[str, Sequence[float]],
    model: str = "minilm-l6",
    task: str = "rte",
    loop_seconds: Mapping[str, Sequence[float]] | None = None,
    **more,
) -> Timing:
    """A timing of these methods, with their seconds turn by turn; those in the loop are as many, unless given."""
    same = {"samples": 100, "memory_mb": 10.0, "trainable": 48, "parameters": 10000, "saved_bytes": 400}
    turns = [
        Turn(
            method=method,
            repeat=repeat,
            seconds=own[repeat],
            loop_seconds=(loop_seconds or seconds)[method][repeat],
            **same,
        )
        for repeat in range(max(map(len, seconds.values())))
        for method, own in seconds.items()
    ]
    runs = [specified(model, task, "low", method=method).portable for method in seconds]
    about = {"timing_id": "constructed", "runs": runs, "turns": turns, "environment": MACHINE, "recorded": 1.0}
    return Timing(**about | more)


def _sequences(lengths: tuple[int, int], n: int, demonstrations: int, lacking: int, before: Sequence[int], rng):
    """n prompts of random tokens with from lengths[0] to lengths[1] of them, after what is shared; and their groups."""
    shared = rng.integers(8, 64, demonstrations).tolist()
    prompts, groups = [], []
    for i in range(n):
        own = rng.integers(8, 64, rng.integers(lengths[0], lengths[1] + 1)).tolist()
        fewer = i < lacking
        prompts.append([*before, *(shared[: demonstrations // 2] if fewer else shared), *own])
        groups.append(int(fewer) if demonstrations else i)
    return prompts, tuple(groups)


def choices(
    prompt: tuple[int, int],
    option: tuple[int, int],
    options: int,
    n: int = 7,
    demonstrations: int = 0,
    lacking: int = 0,
    before: Sequence[int] = (),
) -> Choices:
    """n examples of random tokens: lengths of a prompt and of an option from the first to the second number.

    `demonstrations`: tokens that all begin with, but for the first `lacking` examples, which have half of them.
    """
    rng = np.random.default_rng(0)
    prompts, groups = _sequences(prompt, n, demonstrations, lacking, before, rng)
    made = []
    for ids in prompts:
        ends = [rng.integers(8, 64, rng.integers(option[0], option[1] + 1)).tolist() for _ in range(options)]
        made.append(tuple(Option((*ids, *end), len(ids)) for end in ends))
    right = tuple((i % options,) for i in range(n))
    return Choices(groups, (0,) * n, 0, "", tuple(made), right)


def contexts(prompt: tuple[int, int], n: int = 7, demonstrations: int = 0, lacking: int = 0) -> Contexts:
    """n prompts of random tokens, as in `choices`."""
    prompts, groups = _sequences(prompt, n, demonstrations, lacking, (), np.random.default_rng(0))
    return Contexts(groups, (0,) * n, 0, "", tuple(map(tuple, prompts)))


def numbers(said: str) -> list[float]:
    """The numbers that a text says, in its order; a digit of a name (SST-2, MiniLM-L6) is none."""
    return [float(n.replace("−", "-")) for n in re.findall(r"(?<![\w.-])[−-]?\d+(?:\.\d+)?(?![\w])", said)]
