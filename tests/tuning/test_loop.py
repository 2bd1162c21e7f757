"""The loop: resuming, evaluating in between and padding change no number; divergence stops it; bf16 is what it says."""

from dataclasses import replace

import families
import numpy as np
import pytest
import torch

from beft_lib import biases
from beft_lib.tuning import batches, loop
from beft_lib.tuning.batches import Encoded
from beft_lib.tuning.head import head_parameters
from beft_lib.tuning.loop import Recipe
from beft_lib.tuning.prepare import apply_method

RECIPE = Recipe(learning_rate=1e-2, epochs=4, seed=3, batch_size=8)


def data(n=45, seed=0, regression=False):
    """Random token ids of lengths 3 to 12, with labels that depend on them."""
    rng = np.random.default_rng(seed)
    ids = tuple(tuple(int(t) for t in rng.integers(3, 60, rng.integers(3, 13))) for _ in range(n))
    labels = torch.tensor([sum(row) / len(row) / 30 if regression else float(row[0] > 30) for row in ids])
    return Encoded(ids, None, labels if regression else labels.long(), pad_id=0, truncated=0)


def tuned(method="value", recipe=RECIPE, family="bert", **more):
    model = families.build(family)
    apply_method(model, method)
    trace = loop.tune(model, data(), recipe, **more)
    return model, trace


def parameters(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def assert_equal(first, second):
    assert all(torch.equal(value, second[name]) for name, value in first.items())


# ------------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("n", [1, 7, 16, 45, 2000])
def test_an_epoch_holds_every_example_once_in_as_many_steps_as_plain_shuffling(n):
    lengths = np.random.default_rng(0).integers(3, 60, n)
    made = batches.shuffled(lengths, 16, np.random.default_rng(1))
    assert sorted(np.concatenate(made)) == list(range(n))
    assert len(made) == -(-n // 16)
    assert {len(b) for b in made} <= {16, n % 16}


def test_buckets_are_hardly_padded_and_epochs_differ():
    lengths = np.random.default_rng(0).geometric(1 / 12, 1000) + 2
    rng = np.random.default_rng(1)
    epochs = [batches.shuffled(lengths, 16, rng) for _ in range(2)]
    for rows in epochs:
        padded = sum(lengths[b].max() * len(b) for b in rows)
        assert padded < 1.1 * lengths.sum()
    assert [b.tolist() for b in epochs[0]] != [b.tolist() for b in epochs[1]]


def test_collate_pads_to_the_longest_and_masks_only_padding():
    batch = batches.collate(Encoded(((5, 6), (7, 8, 9)), None, torch.tensor([0, 1]), pad_id=1, truncated=0), [0, 1])
    assert batch["input_ids"].tolist() == [[5, 6, 1], [7, 8, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert "attention_mask" not in batches.collate(data(3), [0])


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "mpnet", "deberta-v2"])
def test_predictions_do_not_depend_on_padding_or_company(family):
    model, examples = families.build(family), data()
    together = loop.predict(model, examples)
    alone = np.concatenate([model(input_ids=torch.tensor([ids])).logits.detach().numpy() for ids in examples.ids])
    assert np.abs(together - alone).max() < 1e-5


# ---------------------------------------------------------------------------------------------------------- loop


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("method", ["value", "all_biases", "head_only", "full"])
def test_only_what_the_method_says_changes(method, family):
    model = families.build(family)
    model.config.pad_token_id = 0
    handles = apply_method(model, method).handles
    before = parameters(model)
    allowed = {id(h.parameter) for h in handles} | {id(p) for p in head_parameters(model)}
    frozen = {h.key: h.read() for h in biases.all_biases(model)} if method != "full" else {}
    loop.tune(model, data(), RECIPE)
    after = parameters(model)
    changed = {n for n, p in model.named_parameters() if not torch.equal(before[n], after[n])}
    expected = {n for n, p in model.named_parameters() if method == "full" or id(p) in allowed}
    assert changed <= expected
    assert any("classifier" in n or "score" in n for n in changed)
    chosen = {h.key for h in handles}
    for handle in biases.all_biases(model):
        if handle.key in frozen and handle.key not in chosen:
            assert torch.equal(handle.read(), frozen[handle.key]), handle.key
    assert method in ("head_only", "full") or all(
        not torch.equal(h.read(), frozen[h.key]) for h in handles if h.term == "value"
    )


def test_the_loss_falls_and_the_same_seed_gives_the_same_model():
    first, trace = tuned("all_biases")
    second, _ = tuned("all_biases")
    assert_equal(parameters(first), parameters(second))
    assert trace.losses[-1] < trace.losses[0] and len(trace.losses) == 4 and trace.steps == 4 * 6
    assert trace.padded >= trace.tokens > 0
    other, _ = tuned("all_biases", replace(RECIPE, seed=4))
    assert any(not torch.equal(a, b) for a, b in zip(parameters(first).values(), parameters(other).values()))


def test_a_pinned_loss_sequence():
    """A change of the loop that changes training shows here; the numbers are its own, without dropout."""
    model = families.build("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    apply_method(model, "all_biases")
    assert loop.tune(model, data(), RECIPE).losses == pytest.approx(PINNED, rel=1e-3)


PINNED = [0.93681, 0.71326, 0.73541, 0.75339]


def test_equals_a_plain_loop_on_the_same_batches():
    """Parity with PyTorch used directly: same order, same dropout, same optimizer."""
    model, _ = tuned("value")
    plain = families.build("bert")
    apply_method(plain, "value")
    trained = [p for p in plain.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RECIPE.learning_rate, eps=1e-6, weight_decay=0)
    examples = data()
    for epoch in range(1, RECIPE.epochs + 1):
        plain.train()
        torch.manual_seed(loop._epoch_seed(RECIPE.seed, epoch))
        for rows in batches.shuffled(examples.lengths, RECIPE.batch_size, np.random.default_rng([RECIPE.seed, epoch])):
            loss = plain(**batches.collate(examples, rows)).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
    for (name, ours), theirs in zip(model.named_parameters(), plain.parameters()):
        assert torch.allclose(ours, theirs, atol=1e-6), name


def test_looking_in_mid_run_changes_nothing():
    undisturbed, _ = tuned("all_biases")

    def look(step):
        torch.rand(step)  # even one that draws random numbers
        loop.predict(model, data())
        return step

    model = families.build("bert")
    apply_method(model, "all_biases")
    trace = loop.tune(model, data(), RECIPE, look=look, at=range(1, 25))
    assert trace.notes == list(range(1, 25)) and trace.steps == 24
    assert_equal(parameters(undisturbed), parameters(model))


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_a_run_that_stops_early_is_the_beginning_of_the_whole_run(schedule):
    recipe, seen = replace(RECIPE, schedule=schedule), []
    model = families.build("bert")
    apply_method(model, "all_biases")
    loop.tune(model, data(), recipe, look=lambda _: seen.append(parameters(model)), at=[9])
    stopped, trace = tuned("all_biases", replace(recipe, steps=9))
    assert trace.steps == 9 and len(trace.losses) == 2
    assert_equal(parameters(stopped), seen[0])


class Killed(Exception):
    pass


@pytest.mark.parametrize("method", ["value", "full"])
@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, monkeypatch, method, schedule):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    recipe = replace(RECIPE, schedule=schedule)
    whole, trace = tuned(method, recipe)

    def die(step):
        if step > 12:
            raise Killed
        return step

    with pytest.raises(Killed):
        tuned(method, recipe, checkpoint=tmp_path, look=die, at=range(1, 25))
    seen = []
    resumed, again = tuned(
        method, recipe, checkpoint=tmp_path, look=lambda step: seen.append(step) or step, at=range(1, 25)
    )
    assert seen == list(range(13, 25)) and again.notes == list(range(1, 25))
    assert_equal(parameters(whole), parameters(resumed))
    assert again.losses == trace.losses and again.steps == trace.steps and again.tokens == trace.tokens


@pytest.mark.parametrize("damage", ["torn", "other recipe"])
def test_a_checkpoint_that_does_not_fit_is_not_used(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    tuned("value", RECIPE if damage == "torn" else replace(RECIPE, learning_rate=1.0), checkpoint=tmp_path)
    file = tmp_path / "checkpoint.safetensors"
    assert file.exists()
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:100])
    assert_equal(parameters(tuned("value")[0]), parameters(tuned("value", checkpoint=tmp_path)[0]))


def test_speed_is_measured_without_changing_the_threads():
    before = torch.get_num_threads()
    assert loop.tokens_per_second(families.build("bert"), threads=1) > 0
    assert torch.get_num_threads() == before


def test_divergence_stops_the_run():
    with pytest.raises(loop.Diverged, match="step .* of 24 .*learning rate"):
        tuned("full", replace(RECIPE, learning_rate=1e30))


def test_bf16_holds_frozen_matrices_in_bf16_and_what_trains_in_fp32():
    model, trace = tuned("all_biases", replace(RECIPE, precision="bf16"))
    for name, parameter in model.named_parameters():
        held = torch.bfloat16 if parameter.dim() > 1 and not parameter.requires_grad else torch.float32
        assert parameter.dtype == held, name
    exact, expected = tuned("all_biases")
    assert trace.losses == pytest.approx(expected.losses, rel=0.05)
    assert np.abs(loop.predict(model, data(), "bf16") - loop.predict(exact, data())).max() < 0.5


def test_a_key_bias_run_is_a_head_only_run_step_by_step():
    """b_k of a model with absolute positions has no gradient, so tuning it is tuning the head."""

    def steps(method):
        model, seen = families.build("bert"), []
        apply_method(model, method)
        look = lambda _: seen.append(loop.predict(model, data()))  # noqa: E731
        assert loop.tune(model, data(), RECIPE, look=look, at=range(1, 25)).steps == len(seen) == 24
        return np.array(seen)

    assert np.abs(steps("key") - steps("head_only")).max() < 1e-5


def test_regression_trains_on_the_squared_error():
    model = families.build("bert", num_labels=1)
    apply_method(model, "all_biases")
    trace = loop.tune(model, data(regression=True), RECIPE)
    assert trace.losses[-1] < trace.losses[0]


# ---------------------------------------------------------------------------------------------------------- head


def test_bert_base_trains_the_11522_scalars_of_the_paper():
    import transformers

    with torch.device("meta"):
        model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=100))
    handles = apply_method(model, "value").handles
    assert sum(h.size for h in handles) == 9216
    assert sum(p.numel() for p in head_parameters(model)) == 768 + 1538
    assert biases.trainable_scalars(model) == 11522


def test_beft_makes_a_model_train_one_term_and_its_head():
    import beft_lib

    model = beft_lib.beft(families.build("llama"), "value")
    names = {n for n, p in model.named_parameters() if p.requires_grad}
    assert names == {"model.layers.0.self_attn.v_proj.bias", "model.layers.1.self_attn.v_proj.bias", "score.weight"}


# -------------------------------------------------------------------------------------------------- micro-batches


@pytest.mark.parametrize("method", ["value", "random", "full"])
@pytest.mark.parametrize("micro", [1, 3])
def test_the_gradients_of_a_batchs_parts_add_up(method, micro):
    def trained(recipe):
        model = families.build("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        prepared = apply_method(model, method)
        trace = loop.tune(prepared.model, data(), recipe, scalars=prepared.scalars)
        return parameters(model), trace

    recipe = replace(RECIPE, epochs=1, learning_rate=1e-4)
    (whole, trace), (parts, other) = trained(recipe), trained(replace(recipe, micro_batch=micro))
    assert all(torch.allclose(value, parts[name], rtol=0, atol=2e-6) for name, value in whole.items())
    assert np.allclose(trace.losses, other.losses, rtol=0, atol=1e-6)
    assert trace.micro_batch is None and other.micro_batch == micro


def test_where_memory_runs_out_the_step_is_begun_again_with_less():
    room, seen = 3, []

    def loss(model, given, rows, whole):
        seen.append(len(rows))
        if len(rows) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loop.head_loss(model, given, rows, whole)

    family = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    models = [families.build("bert", **family) for _ in range(2)]
    for model in models:
        apply_method(model, "value")
    recipe = replace(RECIPE, epochs=1, learning_rate=1e-4)
    trace = loop.tune(models[0], data(), recipe, loss=loss)
    loop.tune(models[1], data(), replace(recipe, micro_batch=2))
    assert seen[:3] == [8, 4, 2] and max(seen[3:]) == 2  # once is enough: the rest of the run goes on so
    assert trace.micro_batch == 2 and trace.steps == 6
    assert_equal(parameters(models[0]), parameters(models[1]))


def test_an_example_that_does_not_fit_alone_is_an_error():
    def loss(model, given, rows, whole):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        tuned(loss=loss)
