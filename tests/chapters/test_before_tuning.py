"""What is measured on a model before tuning agrees with a computation by hand."""

import numpy as np
import pytest
import torch

from beft_lib import models, tasks
from beft_lib.chapters import before_tuning
from beft_lib.tuning import batches


def test_the_first_tokens_spread_is_that_of_sentences_one_by_one():
    task = tasks.get(before_tuning.TASK)
    data = batches.encode(models.tokenizer("tiny-bert"), tasks.load(task, task.train, "bundled"), task.max_length)
    model = models.classifier("tiny-bert", 2, seed=0)
    with torch.no_grad():
        vectors = np.stack(
            [
                model.bert(input_ids=torch.tensor([data.ids[i]])).last_hidden_state[0, 0].numpy()
                for i in range(before_tuning.EXAMPLES)
            ]
        )
    wanted = np.linalg.norm(vectors.std(0, ddof=1)) / np.linalg.norm(vectors, axis=1).mean()
    assert before_tuning.first_token_spread("tiny-bert") == pytest.approx(wanted, rel=1e-3)


def test_a_key_bias_has_no_gradient_and_moves_no_logit():
    norms = before_tuning.gradient_norms("tiny-bert")
    assert list(norms.precision) == ["fp32", "fp64"] and (norms.b_k < 1e-6 * norms.b_v).all()
    assert (
        before_tuning.logit_shift("tiny-bert", "key", 1.0) < 1e-9 < before_tuning.logit_shift("tiny-bert", "value", 1.0)
    )
