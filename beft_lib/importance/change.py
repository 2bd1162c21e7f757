"""Scores from a bias before and after tuning: projection ratio, Magnitude, and the null model for the former.

`pre` and `post` are a bias of d scalars before and after. A score belongs to one bias of one layer.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from beft_lib.biases import Bias
from beft_lib.errors import UserError

from .ranking import Score


def projection_ratio(pre: Tensor, post: Tensor) -> Tensor:
    """The paper's score (§2.1): one minus the projection of the shorter bias on the longer, as a share of the longer.

        score = 1 − ⟨pre, post⟩ / max(‖pre‖₂, ‖post‖₂)²

    0: unchanged; 1: orthogonal; 2: reversed; for post = c·pre with c > 0 it is 1 − min(c, 1/c).

    Shapes: pre, post (..., d) → (...). Computed in fp64.

    The summed formula of §2.1 prints max(...) without the square, at odds with its own two cases (and with the
    authors' code), which divide by the squared norm; the square is used here.
    Differs from the authors' code in: 1. an angle beyond 90° gives a score above 1 instead of an error; 2. a bias
    that is zero before or after gives `nan` (its direction is undefined) instead of an error.
    """
    pre, post = _pair(pre, post)
    pre_sq, post_sq = pre.square().sum(-1), post.square().sum(-1)
    score = 1 - (pre * post).sum(-1) / torch.maximum(pre_sq, post_sq)
    return torch.where((pre_sq == 0) | (post_sq == 0), torch.full_like(score, math.nan), score)


def magnitude(pre: Tensor, post: Tensor) -> Tensor:
    """The Magnitude approach (§2.2): how far the bias moved in Manhattan distance.

        score = ‖post − pre‖₁

    Shapes: pre, post (..., d) → (...). Computed in fp64.
    Differs from the authors' code in: it is the ℓ1 norm the paper prints, not the mean over coordinates, which
    divides it by d (the order among biases of one size is the same).
    """
    pre, post = _pair(pre, post)
    return (post - pre).abs().sum(-1)


def null_model(pre: Tensor, post: Tensor, draws: int = 200, seed: int = 0) -> Tensor:
    """Projection scores of random changes as large as the real one: what a score says about size alone.

        score_i = projection_ratio(pre, pre + ‖post − pre‖₂ · u_i),   u_i uniform on the unit sphere

    A real score near the middle of these draws carries no information about the *direction* of the change, only
    about ‖Δ‖/‖pre‖. Shapes: pre, post (d,) → (draws,), in fp64. Seeded, so a number can be reproduced. Not of the
    paper: its ranking has no control.
    """
    pre, post = _pair(pre, post)
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(draws, pre.shape[-1], generator=generator, dtype=torch.float64)  # (draws, d)
    directions /= directions.norm(dim=-1, keepdim=True)
    return projection_ratio(pre.expand_as(directions), pre + (post - pre).norm() * directions)


def _pair(pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
    if pre.shape != post.shape:
        raise UserError(
            f"a bias before tuning has shape {tuple(pre.shape)} and after it {tuple(post.shape)}; "
            "pass two snapshots of the same handles"
        )
    return pre.double(), post.double()


def change_scores(handles: Sequence[Bias], pre: Mapping[str, Tensor], post: Mapping[str, Tensor]) -> list[Score]:
    """Projection, Magnitude and the null model's mean for every handle, from two snapshots (`biases.snapshot`).

    `pre`, `post`: {handle key: (d,)}. Three scores a handle, the null model's draws seeded by the handle's place.
    Raises `UserError` where a bias has not the same shape in both.
    """
    scores = []
    for number, handle in enumerate(handles):
        before, after = pre[handle.key], post[handle.key]
        for approach, value in (
            ("projection", projection_ratio(before, after).item()),
            ("magnitude", magnitude(before, after).item()),
            ("null_model", null_model(before, after, seed=number).mean().item()),
        ):
            scores.append(Score(approach, handle.term, handle.layer, value))
    return scores
