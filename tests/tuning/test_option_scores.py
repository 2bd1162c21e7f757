"""Scores of options and generated answers: the same as one at a time, whatever is batched, cached and shared."""

import numpy as np
import pytest
import torch
from constructed import choices, contexts
from families import DECODERS, build

from beft_lib import biases
from beft_lib.tuning import option_scores, peft_methods
from beft_lib.tuning.head import head_parameters
from beft_lib.tuning.prepare import apply_method, trainable

CACHED = ["opt", "gpt2", "llama"]


def one_by_one(model, data) -> list[np.ndarray]:
    """The mean log-probability of each option's tokens, from one plain forward pass an option, without any padding."""
    found = []
    for own in data.options:
        scores = []
        for ids, start in own:
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0]
            likely = logits.log_softmax(-1)
            scores.append(np.mean([likely[i - 1, ids[i]].item() for i in range(start, len(ids))]))
        found.append(np.array(scores))
    return found


def assert_same(ours, theirs, tolerance=2e-6):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


# The kinds of examples that take different paths: (tokens of a prompt), (tokens of an option), options.
SHAPES = {
    "one token an option, one length": ((9, 9), (1, 1), 2),
    "one token an option, padded": ((3, 14), (1, 1), 3),
    "long options after long prompts": ((12, 18), (1, 4), 3),
    "long options after short prompts": ((2, 3), (3, 7), 2),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("tokens", [1, 64, 4096])
def test_scores_are_those_of_one_option_at_a_time(name, shape, tokens):
    model = build(name, "lm")
    data = choices(*SHAPES[shape])
    assert_same(option_scores.option_scores(model, data, tokens=tokens), one_by_one(model, data))


@pytest.mark.parametrize("name", DECODERS)
def test_the_vocabulary_head_reads_one_piece_and_scores_stay(name):
    model, seen = build(name, "lm"), []
    data = choices(*SHAPES["long options after long prompts"])
    option_scores.read_contiguously(model)
    model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].is_contiguous()))
    assert_same(option_scores.option_scores(model, data), one_by_one(model, data))
    loss, _ = option_scores.option_loss(model, data, [0, 1, 2], [0, 1, 2])
    loss.backward()
    assert seen and all(seen)


@pytest.mark.parametrize("name", DECODERS)
def test_demonstrations_are_shared_and_change_nothing(name, monkeypatch):
    model = build(name, "lm", max_position_embeddings=64)
    data = choices((2, 9), (1, 3), 2, demonstrations=20, lacking=3)
    assert len(set(data.group)) == 2  # some examples have fewer of them
    seen = []
    forward = option_scores.forward
    monkeypatch.setattr(
        option_scores,
        "forward",
        lambda model, rows, *a, **k: seen.append(sum(map(len, rows))) or forward(model, rows, *a, **k),
    )
    assert_same(option_scores.option_scores(model, data), one_by_one(model, data))
    assert sum(seen) < sum(len(option.ids) for own in data.options for option in own) / 2


@pytest.mark.parametrize("name", CACHED)
def test_a_prompt_is_computed_once_for_its_options(name, monkeypatch):
    model, data = build(name, "lm"), choices((18, 18), (3, 3), 4)
    seen, forward = [], option_scores.forward
    monkeypatch.setattr(
        option_scores, "forward", lambda model, rows, *a, **k: seen.append(rows) or forward(model, rows, *a, **k)
    )
    assert_same(option_scores.option_scores(model, data), one_by_one(model, data))
    assert sum(len(row) for rows in seen for row in rows) < sum(len(o.ids) for own in data.options for o in own) / 2


@pytest.mark.parametrize("name", DECODERS)
def test_generated_answers_are_those_of_one_prompt_at_a_time(name):
    model = build(name, "lm", max_position_embeddings=96)
    tokenizer = Numbers()
    for given in ({}, {"demonstrations": 20, "lacking": 2}):
        data = contexts((3, 12), **given)
        found = option_scores.answers(model, tokenizer, data)
        assert found == [greedy(model, tokenizer, ids) for ids in data.ids]
        assert len(set(found)) > 1


def greedy(model, tokenizer, ids) -> str:
    ids = list(ids)
    begin = len(ids)
    for _ in range(option_scores.NEW_TOKENS):
        with torch.no_grad():
            ids.append(model(torch.tensor([ids])).logits[0, -1].argmax().item())
        if ids[-1] in (Numbers.BREAK, Numbers.eos_token_id):
            break
    return tokenizer.decode(ids[begin:]).split("\n")[0].strip()


class Numbers:
    """A tokenizer whose tokens are numbers, but for a line break and the end."""

    BREAK, eos_token_id, pad_token_id = 7, 2, 0

    def __len__(self):
        return 64

    def decode(self, ids):
        return "".join("\n" if i == self.BREAK else "" if i in (0, 2) else f"{i} " for i in ids)

    def batch_decode(self, rows, skip_special_tokens=False):
        return [self.decode([int(i) for i in row]) for row in rows]


# ------------------------------------------------------------------------------------------------- identities


@pytest.mark.parametrize("name", DECODERS)
def test_a_zero_bias_changes_no_score(name):
    model, data = build(name, "lm"), choices((3, 9), (1, 3), 2)
    before = option_scores.option_scores(model, data)
    for handles in biases.attention_biases(model):
        for handle in handles:
            handle.add()
    assert_same(option_scores.option_scores(model, data), before, 0.0)


@pytest.mark.parametrize("loss", [option_scores.option_loss, option_scores.answer_loss])
@pytest.mark.parametrize("name", CACHED)
def test_losses_are_those_of_plain_sequences_and_their_parts_add_up(name, loss):
    model, data = build(name, "lm"), choices((3, 9), (1, 3), 3)
    whole = list(range(len(data)))
    scores = one_by_one(model, data)
    if loss is option_scores.option_loss:
        parts = [-torch.tensor(s).log_softmax(0)[right[0]] for s, right in zip(scores, data.right)]
        expected = torch.stack(parts).mean()
    else:
        counts = [len(own[r[0]].ids) - own[r[0]].start for own, r in zip(data.options, data.right)]
        expected = -sum(s[r[0]] * n for s, r, n in zip(scores, data.right, counts)) / sum(counts)
    found, _ = loss(model, data, whole, whole)
    assert abs(found.item() - float(expected)) < 2e-6
    split = sum(loss(model, data, part, whole)[0].item() for part in (whole[:3], whole[3:]))
    assert abs(split - found.item()) < 2e-6


@pytest.mark.parametrize("name", ["opt", "gpt2", "llama", "qwen3"])
def test_a_prefix_is_what_peft_makes_of_it(name):
    model, data = build(name, "lm"), choices((3, 12), (1, 3), 2)
    prepared = apply_method(model, "prefix", seed=0)
    tuned = prepared.model
    assert trainable(prepared) == sum(p.numel() for p in tuned.parameters() if p.requires_grad) > 0
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    assert_same(option_scores.option_scores(tuned, data), one_by_one(tuned, data))


@pytest.mark.parametrize("name", ["opt", "llama"])
def test_a_prefix_starts_as_words_that_the_model_has_read(name):
    """Five drawn words before the text give the same scores as the untrained prefix."""
    model, data = build(name, "lm"), choices((3, 9), (1, 2), 2)
    torch.manual_seed(0)
    words = torch.randint(model.config.vocab_size, (1, peft_methods.PREFIX_TOKENS))[0].tolist()
    longer = choices((3, 9), (1, 2), 2, before=words)
    expected = one_by_one(model, longer)
    assert_same(option_scores.option_scores(apply_method(model, "prefix", seed=0).model, data), expected)


@pytest.mark.parametrize("name", ["opt", "llama"])
def test_answers_behind_a_prefix_are_those_of_one_prompt_at_a_time(name):
    model = apply_method(build(name, "lm", max_position_embeddings=96), "prefix", seed=0).model
    data = contexts((3, 12))
    assert option_scores.answers(model, Numbers(), data) == [greedy(model, Numbers(), ids) for ids in data.ids]


@pytest.mark.parametrize("method", ["query", "key", "value", "all_biases", "lora", "prefix", "full"])
@pytest.mark.parametrize("name", DECODERS)
def test_every_method_trains_on_every_family(name, method):
    """A backward pass reaches what the method trains, and nothing else; in no method is there a head."""
    model, data = build(name, "lm"), choices((3, 9), (1, 3), 2)
    prepared = apply_method(model, method, seed=0)
    assert head_parameters(model) == []
    loss, _ = option_scores.option_loss(prepared.model, data, range(4), range(4))
    loss.backward()
    trained = {n for n, p in prepared.model.named_parameters() if p.requires_grad}
    reached = {n for n, p in prepared.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert reached <= trained
    if method in ("value", "query"):
        assert len(reached) == len(trained) == 2
    assert reached
