"""What a model is called elsewhere, and what such a model is called here: nothing is fetched to know it."""

import pytest

from beft_lib import models
from beft_lib.errors import UserError
from beft_lib.models import local_name, public_name

COMMIT = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
MINILM = ("sentence-transformers/all-MiniLM-L6-v2", COMMIT)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def test_a_wheel_is_called_by_the_hubs_model_with_its_weights_and_found_again(cache):
    assert public_name("minilm-l6") == MINILM and local_name(*MINILM) == "minilm-l6"
    assert public_name("mpnet-base")[0] == "sentence-transformers/all-mpnet-base-v2"
    assert local_name("sentence-transformers/all-mpnet-base-v2") == "mpnet-base"
    assert local_name(MINILM[0], "another") == f"hub:{MINILM[0]}@another"


def test_no_cache_of_this_machine_is_in_a_name(cache, tmp_path):
    minilm = models.CATALOGUE["minilm-l6"]
    folder = cache / f"minilm-l6-{minilm.identity}"
    folder.mkdir(parents=True)
    assert public_name(str(folder)) == MINILM
    converted = cache / "facebook--opt-125m-0123456789ab"
    converted.mkdir()
    assert public_name(str(converted)) == ("facebook/opt-125m", None)
    snapshot = tmp_path / "hub" / "models--google-bert--bert-base-cased" / "snapshots" / COMMIT
    assert public_name(str(snapshot)) == ("google-bert/bert-base-cased", COMMIT)


def test_other_models_keep_what_they_are_called(cache, tmp_path, monkeypatch):
    assert public_name("smollm2-135m") == ("smollm2-135m", None)  # quantised: the weights are nobody else's
    assert public_name("hub:org/name@v1") == ("org/name", "v1") and local_name("org/name", "v1") == "hub:org/name@v1"
    assert public_name("org/name") == ("org/name", None) and local_name("gpt2") == "hub:gpt2"
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    assert public_name("./own") == (str(tmp_path / "own"), None)
    assert local_name(str(tmp_path / "own")) == str(tmp_path / "own")
    assert local_name("tiny-bert") == "tiny-bert"


def test_weights_that_are_known_decide(cache):
    assert local_name("whatever/name", None, models.version("minilm-l6")) == "minilm-l6"
    with pytest.raises(UserError, match="--model"):
        local_name("")
