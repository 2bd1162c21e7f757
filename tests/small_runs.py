"""Runs of a second, for what carries runs out."""

from beft_lib.runs import RunSpec


def specs(n=3, **more) -> list[RunSpec]:
    """Of b_v on 16 toy examples, with the seeds from 0 to n − 1."""
    return [
        RunSpec(
            **{
                "model": "tiny-bert",
                "task": "toy-sentiment",
                "source": "bundled",
                "n_train": 16,
                "epochs": 1,
                "method": "value",
                "seed": seed,
                **more,
            }
        )
        for seed in range(n)
    ]
