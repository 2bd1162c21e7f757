"""Prompts to tokens: where an option begins, what demonstrations stand before it, and what does not fit."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from beft_lib.errors import UserError
from beft_lib.tasks import Prompts
from beft_lib.tuning import prompt_tokens
from beft_lib.tuning.prompt_tokens import Demonstrations

LETTERS = "abcdefghijklmnopqrstuvwxyz ?:\n"


def tokenizer(*merged: str, ends: bool = False, words: bool = False) -> PreTrainedTokenizerFast:
    """One token a letter, and one for each pair in `merged`; `ends`: with tokens before and after every text."""
    if words:  # white space is no token
        made = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
        made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return PreTrainedTokenizerFast(tokenizer_object=made)
    vocabulary = {token: i for i, token in enumerate(["<s>", "</s>", *LETTERS, *merged])}
    made = Tokenizer(models.BPE(vocabulary, [tuple(pair) for pair in merged]))
    made.decoder = decoders.Fuse()
    if ends:
        made.post_processor = processors.TemplateProcessing("<s> $0 </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")


def prompts(*texts: str, options=(" yes", " no")) -> Prompts:
    n = len(texts)
    return Prompts(tuple(texts), (tuple(options),) * n, ((0,),) * n, ((),) * n, tuple(map(str, range(n))))


def read(letters, option) -> tuple[str, str]:
    """What is before the option and the option, from its tokens."""
    return letters.decode(option.ids[: option.start]), letters.decode(option.ids[option.start :])


def test_an_option_is_the_tokens_after_the_prompt():
    letters = tokenizer()
    data = prompt_tokens.choices(letters, prompts("is it?", "or"), 100)
    assert [read(letters, option) for option in data.options[0]] == [("is it?", " yes"), ("is it?", " no")]
    assert data.right == ((0,), (0,)) and data.lengths.tolist() == [10, 6] and data.truncated == 0
    assert data.group == (0, 1) and data.dropped == (0, 0)


def test_a_token_that_holds_both_belongs_to_the_option():
    """Its length is not the difference of two lengths: "? " is one token here."""
    letters = tokenizer("? ")
    (own,) = prompt_tokens.choices(letters, prompts("is it?"), 100).options
    assert [read(letters, option) for option in own] == [("is it", "? yes"), ("is it", "? no")]
    assert len(letters("is it? no")["input_ids"]) - len(letters("is it?")["input_ids"]) == 2


def test_what_stands_before_every_text_stays_and_what_stands_after_it_goes():
    letters = tokenizer(ends=True)
    (own,) = prompt_tokens.choices(letters, prompts("it"), 100).options
    assert own[0].ids[0] == 0 and 1 not in own[0].ids and own[0].start == 3
    assert prompt_tokens.contexts(letters, prompts("it"), 100).ids == (own[0].ids[:3],)


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ("a", (" b", " "), "example 0: option ' ' has no token of its own"),
        (" ", (" a",), "follows a prompt of no token"),
    ],
)
def test_an_option_or_prompt_of_no_token_is_an_error(prompt, options, message):
    with pytest.raises(UserError, match=message):
        prompt_tokens.choices(tokenizer(words=True), prompts(prompt, options=options), 100)


@pytest.mark.parametrize("ends", [False, True])
def test_a_prompt_that_does_not_fit_loses_its_left_alike_for_every_option(ends):
    letters = tokenizer(ends=ends)
    data = prompt_tokens.choices(letters, prompts("abcdefgh", "a"), 9 + ends)
    assert [read(letters, option)[0].removeprefix("<s>") for option in data.options[0]] == ["defgh", "defgh"]
    assert data.truncated == 1 and len(data.options[0][0].ids) == 9 + ends
    assert all(option.ids[0] == 0 for option in data.options[0]) == ends
    cut = prompt_tokens.contexts(letters, prompts("abcdefgh", "a"), 5 + ends)
    assert letters.decode(cut.ids[0][ends:]) == "defgh" and cut.truncated == 1


def test_an_option_longer_than_all_there_is_is_an_error():
    with pytest.raises(UserError, match="of 4 tokens .* in 4; raise max_length"):
        prompt_tokens.choices(tokenizer(), prompts("ab"), 4)


# ------------------------------------------------------------------------------------------------ demonstrations


def shown(fixed: bool, shots: int = 3, seed: int = 0) -> Demonstrations:
    pool = prompts("one", "two", "three", "four", "five", "six")
    return Demonstrations(pool, shots, "\n", fixed, seed)


def before(letters, data, place: int) -> str:
    return read(letters, data.options[place][0])[0]


def test_a_fixed_set_is_the_same_before_each_example():
    letters = tokenizer()
    data = prompt_tokens.choices(letters, prompts("is it", "or"), 100, shown(fixed=True))
    assert before(letters, data, 0) == "one yes\ntwo yes\nthree yes\nis it"
    assert before(letters, data, 1) == "one yes\ntwo yes\nthree yes\nor"
    assert data.group == (0, 0)


def test_fresh_demonstrations_are_drawn_for_each_example_by_seed_and_place():
    letters, many = tokenizer(), prompts(*["or"] * 8)

    def drawn(seed):
        data = prompt_tokens.choices(letters, many, 100, shown(fixed=False, seed=seed))
        assert len(set(data.group)) == len(many)
        return [before(letters, data, i) for i in range(len(many))]

    first = drawn(0)
    assert len(set(first)) > 4 and first == drawn(0) != drawn(1)
    for text in first:
        *solved, last = text.split("\n")
        assert last == "or" and len(set(solved)) == 3 and all(line.endswith(" yes") for line in solved)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("longest", range(12, 60))
def test_demonstrations_that_do_not_fit_are_dropped_whole_and_counted(fixed, longest):
    letters = tokenizer("e ")
    demonstrations, given = shown(fixed, shots=4), prompts("is it", "or")
    data = prompt_tokens.choices(letters, given, longest, demonstrations)
    text = prompt_tokens.contexts(letters, given, longest, demonstrations)
    for place, prompt in enumerate(given.prompts):
        *solved, last = before(letters, data, place).split("\n")
        assert last == prompt and data.truncated == 0
        assert solved == demonstrations.of(place)[4 - len(solved) :]  # the last ones, whole
        assert data.dropped[place] == 4 - len(solved)
        assert data.lengths[place] <= longest and text.dropped[place] <= data.dropped[place]
        if solved != demonstrations.of(place):  # one more would not have fitted
            more = "\n".join([*demonstrations.of(place)[3 - len(solved) :], prompt + " yes"])
            assert len(letters(more)["input_ids"]) > longest
    assert data.group == (data.dropped if fixed else (0, 1))


def test_the_digest_is_of_the_rendered_texts():
    letters = tokenizer()
    digests = {
        prompt_tokens.choices(letters, given, 100, demonstrations).digest
        for given in (prompts("is it"), prompts("is it", options=(" yes", " on")), prompts("or"))
        for demonstrations in (None, shown(True))
    }
    assert len(digests) == 6
    assert prompt_tokens.choices(letters, prompts("or"), 100).digest in digests
