"""What stands at the edges of a prompt and of its words is what its author sees, or is refused."""

import pytest

from beft_lib.errors import UserError
from beft_lib.tasks import adopt

ROWS = [{"remark": f"remark {i} is short", "mood": ("dull", "lively")[i % 2]} for i in range(60)]
WORDS = ["poor", "fine"]

ENDINGS = {
    "{remark}\n": "a line break",
    "{remark}\r\n": "a line break",
    "{remark}\t": "a tab",
    "{remark} \u00a0": "no-break space",
    "{remark}\u3000": "ideographic space",
    "{remark}\u2009": "thin space",
    "{remark} ": "a blank",
    "Remark: {remark}\\nMood:": "a backslash and the letter 'n'",
    "{remark}\\tMood:": "a backslash and the letter 't'",
    "{remark}\\n": "a backslash and the letter 'n'",
    "{remark} It was\u200b": "zero width space",
    "\ufeff{remark} It was": "zero width no-break space",
}


@pytest.mark.parametrize("prompt", ENDINGS)
def test_what_is_not_seen_at_an_edge_is_refused(prompt):
    with pytest.raises(UserError) as error:
        adopt(ROWS, prompt=prompt, words=WORDS)
    assert ENDINGS[prompt] in str(error.value)


def test_a_line_break_inside_a_prompt_is_one():
    assert adopt(ROWS, prompt="Remark: {remark}\nMood:", words=WORDS).definition.prompt == "Remark: {remark}\nMood:"


@pytest.mark.parametrize(
    ("words", "space", "option"),
    [
        (WORDS, None, " {option}"),
        (WORDS, False, "{option}"),
        (["差评", "好评"], None, "{option}"),
        (["差评", "好评"], True, " {option}"),
        (["ダメ", "すごい"], None, "{option}"),
        (["แย่", "ดี"], None, "{option}"),
        (["나쁨", "좋음"], None, " {option}"),  # Korean writes blanks
        (["bad", "好评"], None, " {option}"),
    ],
)
def test_what_stands_before_a_word(words, space, option):
    adopted = adopt(ROWS, prompt="{remark}", words=words, space=space)
    assert adopted.definition.option == option
    said = [said for said in adopted.notices if "No blank" in said]
    assert bool(said) == (space is None and option == "{option}")
    followed = adopted.definition.render({"remark": "x"}, words)[1]
    assert followed == tuple(option.format(option=word) for word in words)


@pytest.mark.parametrize(
    "words", [["Good", "good"], ["good", "g\u043eod"], ["a\nb", "c"], ["a\\n", "c"], ["a\u200b", "c"]]
)
def test_words_that_a_reader_takes_for_one_or_does_not_see_are_refused(words):
    with pytest.raises(UserError, match="look alike|not seen"):
        adopt(ROWS, prompt="{remark}", words=words)


def test_space_belongs_to_a_prompt():
    with pytest.raises(UserError, match="space False without a prompt"):
        adopt(ROWS, space=False)
