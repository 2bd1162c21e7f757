"""How a model names its classes while an adapter is in it, and how before and after."""

import pytest
from families import build
from tuned import tuned

from beft_lib import adapters
from beft_lib.errors import UserError

OURS = ("bad", "good")


def named(model, *labels):
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: place for place, label in enumerate(labels)}
    return model


def names(model) -> tuple[str, ...]:
    """The classes in their order, which both mappings must say."""
    assert model.config.label2id == {label: place for place, label in model.config.id2label.items()}
    return tuple(model.config.id2label[place] for place in range(len(model.config.id2label)))


@pytest.fixture
def adapter():
    return adapters.of(named(tuned("bert"), *OURS))


@pytest.mark.parametrize("theirs", [("good", "bad"), ("LABEL_0", "LABEL_1"), ("x", "y")])
def test_the_adapters_names_are_the_models_while_it_is_in(theirs, adapter, tmp_path):
    model = named(build("bert"), *theirs)
    for put in (adapters.merge, adapters.fold):
        before = put(model, adapter)
        assert names(model) == OURS
        adapters.unmerge(model, before)
        assert names(model) == theirs
    attached = adapters.attach(model, {"one": adapter})
    assert names(model) == OURS
    attached.use(None)
    assert names(model) == theirs
    attached.use("one")
    assert names(model) == OURS
    attached.detach()
    assert names(model) == theirs
    assert adapters.load(adapters.save(adapter, tmp_path / "a"), model).labels == OURS and names(model) == OURS


def test_the_names_are_in_what_the_merged_model_saves(adapter, tmp_path):
    from transformers import AutoConfig

    model = named(build("bert"), "good", "bad")
    adapters.merge(model, adapter)
    model.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).id2label == {0: "bad", 1: "good"}


def test_where_adapters_differ_classes_have_numbers_until_one_is_used(adapter):
    other = adapters.of(named(tuned("bert", seed=2), "no", "yes"))
    model = named(build("bert"), "good", "bad")
    with adapters.attach(model, {"one": adapter, "other": other}) as attached:
        assert names(model) == ("LABEL_0", "LABEL_1")
        attached.use("other")
        assert names(model) == ("no", "yes")
        attached.use(["one", None])
        assert names(model) == ("LABEL_0", "LABEL_1")
        attached.use(["one", "one"])
        assert names(model) == OURS
    assert names(model) == ("good", "bad")


def test_a_model_that_keeps_its_head_must_have_the_same_order(adapter):
    headless = adapters.Adapter(
        delta={key: values for key, values in adapter.delta.items() if not key.startswith("-")},
        head={},
        base=adapter.base,
        labels=OURS,
        form=adapter.form,
    )
    model = named(build("bert"), "other", "names")
    adapters.merge(model, headless)
    assert names(model) == ("other", "names")
    with pytest.raises(UserError, match="bad, good.*good, bad"):
        adapters.merge(named(build("bert"), "good", "bad"), headless)
