"""Files as spreadsheets, shells and other libraries write them: read right, or refused; never a row less."""

import csv
import io
import json

import datasets
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from beft_lib.errors import UserError
from beft_lib.tasks import adopt
from beft_lib.tasks.own import lookalikes

CLASSES = ("dull", "lively")


def rows(count=60, classes=CLASSES, start=0):
    return [{"remark": f"remark {i} is short", "mood": classes[i % len(classes)]} for i in range(start, start + count)]


def separated(data, delimiter=",", **how) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(data[0]), delimiter=delimiter, **how)
    writer.writeheader()
    writer.writerows(data)
    return text.getvalue()


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def total(adopted):
    return adopted.train + adopted.evaluation


def refusal(*arguments, **options) -> str:
    with pytest.raises(UserError) as error:
        adopt(*arguments, **options)
    return str(error.value)


# ------------------------------------------------------------------------------------------- delimiters, encodings


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_delimiter_is_found_whatever_the_texts_hold(tmp_path, suffix, delimiter, quoting, end):
    data = rows()
    data[3]["remark"], data[5]["remark"] = 'one, two; three | four "five"', "a line\nand another, at last"
    text = separated(data, delimiter, quoting=quoting, lineterminator=end)
    found = adopt(write(tmp_path, f"a.{suffix}", text), name="x")
    assert found.task == adopt(data, name="x").task
    usual = {"csv": ",;", "tsv": "\t"}[suffix]
    assert any("separate" in said for said in found.notices) == (delimiter not in usual)


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|", ":"])
def test_a_spreadsheets_own_line_names_the_delimiter(tmp_path, delimiter):
    found = adopt(write(tmp_path, "a.csv", f"sep={delimiter}\r\n" + separated(rows(), delimiter)), name="x")
    assert found.task == adopt(rows(), name="x").task
    message = refusal(write(tmp_path, "b.csv", "sep=;\na;b\nx;y\nx;y;z\n"))
    assert "line 4: 3 fields where the header has 2" in message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_at_the_beginning_says_the_encoding(tmp_path, encoding):
    data = rows(classes=("öde", "生き生き"))
    found = adopt(write(tmp_path, "a.csv", separated(data, "\t"), encoding), name="x")
    assert found.task == adopt(data, name="x").task


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16-le", "utf-16-be", "shift_jis"])
def test_an_encoding_without_a_mark_is_not_guessed(tmp_path, encoding):
    data = rows(classes=("öde", "lively") if encoding != "shift_jis" else ("退屈", "lively"))
    assert "save the file as UTF-8" in refusal(write(tmp_path, "a.csv", separated(data), encoding))


# --------------------------------------------------------------------------------------------------------- quotes


def test_a_tab_separated_file_without_quoting_keeps_its_rows(tmp_path):
    data = rows(60)
    data[7]["remark"], data[11]["remark"] = '"an opening quote', 'closed later"'
    data[20]["remark"] = 'a "quote" inside'
    text = "remark\tmood\n" + "".join(f"{row['remark']}\t{row['mood']}\n" for row in data)
    found = adopt(write(tmp_path, "a.tsv", text), name="x")
    assert total(found) == 60 and found.task == adopt(data, name="x").task
    assert any("without quoting" in said for said in found.notices)


def test_a_quoted_cell_of_a_tab_separated_file_keeps_its_line_breaks(tmp_path):
    data = rows(60)
    data[7]["remark"] = "first line\nsecond line"
    found = adopt(write(tmp_path, "a.tsv", separated(data, "\t")), name="x")
    assert total(found) == 60 and found.task == adopt(data, name="x").task


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
@pytest.mark.parametrize("label_first", [False, True])
def test_rows_inside_a_quote_that_was_left_open_are_not_swallowed(tmp_path, delimiter, label_first):
    data = rows(60)
    columns = ["mood", "remark"] if label_first else ["remark", "mood"]
    lines = [delimiter.join(row[name] for name in columns) for row in data]
    if label_first:
        lines[4], lines[6] = f'dull{delimiter}"it opens', f'dull{delimiter}it closes"'
    else:
        lines[4], lines[6] = f'"it opens{delimiter}dull', f'it closes"{delimiter}dull'
    text = "\n".join([delimiter.join(columns), *lines]) + "\n"
    message = refusal(write(tmp_path, "a.csv", text))
    assert "line 6" in message and "close the quote" in message


def test_a_letter_of_several_lines_with_commas_is_one_cell(tmp_path):
    data = rows(60)
    data[4]["remark"] = "Dear Madam, dear Sir\nbest wishes, me"
    found = adopt(write(tmp_path, "a.csv", separated(data)), name="x")
    assert found.task == adopt(data, name="x").task


# -------------------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize("first", [("dull", "a remark that no other is"), ("lively", "x")])
@pytest.mark.parametrize("flip", [False, True])
def test_a_first_line_that_is_a_row_is_not_a_header(tmp_path, first, flip):
    lines = [first, *((row["mood"], row["remark"]) for row in rows(60))]
    text = "\n".join(",".join(reversed(line) if flip else line) for line in lines)
    message = refusal(write(tmp_path, "a.csv", text))
    assert "line 1: the first line looks like a row" in message and repr(first[0]) in message


def test_a_score_above_scores_is_not_a_header(tmp_path):
    text = "".join(f"sentence {i},{i / 8}\n" for i in range(60))
    assert "'0.0' is like the values below it" in refusal(write(tmp_path, "a.csv", text))


def test_a_frames_unnamed_columns_are_columns(tmp_path):
    data = pd.DataFrame([[row["remark"], i % 2] for i, row in enumerate(rows())])
    data.to_csv(tmp_path / "a.csv")
    data.to_csv(tmp_path / "b.csv", index=False)
    for name in "ab":
        assert total(adopt(tmp_path / f"{name}.csv")) == 60


# --------------------------------------------------------------------------------------------------- decimal commas


def scores(form):
    return [{"first": f"text {i}", "second": f"other {i}", "score": form(i % 9 / 2)} for i in range(60)]


def comma(value):
    return f"{value:g}".replace(".", ",")


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_decimal_commas_are_scores_where_no_comma_separates(tmp_path, delimiter):
    path = write(tmp_path, "a.csv", separated(scores(comma), delimiter))
    found = adopt(path, name="x", text=("first", "second"))
    assert found.definition.regression and found.definition.range == (0.0, 4.0)
    assert found.task == adopt(scores(float), name="x", text=("first", "second")).task
    assert any("decimals with a comma" in said for said in found.notices)


def test_decimal_commas_are_asked_about_elsewhere(tmp_path):
    for data in (scores(comma), write(tmp_path, "a.csv", separated(scores(comma)))):
        message = refusal(data, text=("first", "second"))
        assert "'0,5'" in message and "kind='regression'" in message and "kind='classification'" in message
        found = adopt(data, name="x", text=("first", "second"), kind="regression")
        assert found.definition.range == (0.0, 4.0)
        assert "0,5" in adopt(data, text=("first", "second"), kind="classification").definition.labels


def test_thousands_are_not_taken_for_decimals(tmp_path):
    path = write(tmp_path, "a.csv", separated(scores(lambda v: f"{1000 + int(2 * v):,}"), ";"))
    assert "1,008" in adopt(path, text=("first", "second")).definition.labels


# --------------------------------------------------------------------------------------------------------- labels

SAME = {  # what is not seen makes no class
    "composed": ("caf\u00e9", "cafe\u0301"),
    "no-break blank": ("not good", "not\u00a0good"),
    "wide blank": ("not good", "not\u3000good"),
    "two blanks": ("not good", "not  good"),
    "zero width": ("good", "go\u200bod"),
    "mark": ("good", "\ufeffgood"),
    "soft hyphen": ("good", "go\u00adod"),
    "direction": ("good", "good\u200e"),
    "tab": ("not good", "not\tgood"),
    "hangul": ("\ud55c", "\u1112\u1161\u11ab"),
}
ALIKE = {
    "case": ("Good", "good"),
    "dotted": ("STRASSE", "straße"),
    "stop": ("good", "good."),
    "underscore": ("not_good", "not good"),
    "hyphen": ("not-good", "not good"),
    "width": ("good", "ｇｏｏｄ"),
    "cyrillic": ("good", "g\u043eod"),
    "greek": ("Alto", "\u0391lto"),
    "ligature": ("fine", "\ufb01ne"),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_forms_of_one_name_are_one_class(pair):
    data = rows(60, (pair[0], "other", pair[1]))
    found = adopt(data)
    assert set(found.definition.labels) == {lookalikes.canonical(pair[0]), "other"}
    assert sum(found.counts[lookalikes.canonical(pair[0])]) == 40
    assert any("one class" in said and ascii(pair[1].strip()) in said for said in found.notices)
    whole = adopt(rows(60, (pair[0], "other")), rows(20, (pair[1], "other"), start=100))
    assert whole.evaluation == 20 and len(whole.definition.labels) == 2


@pytest.mark.parametrize("pair", ALIKE.values(), ids=ALIKE)
def test_names_that_look_alike_are_told_apart_in_a_notice(pair):
    found = adopt(rows(60, (pair[0], "other", pair[1])))
    assert len(found.definition.labels) == 3
    (said,) = [said for said in found.notices if "look alike" in said]
    assert len({lookalikes.shown(name) for name in pair if lookalikes.shown(name) in said}) == 2
    message = refusal(rows(60, (pair[0], "other")), rows(20, (pair[1], "other"), start=100))
    assert f"did you mean {lookalikes.shown(pair[0])}?" in message


def test_different_names_are_not_alike():
    assert lookalikes.alike(["1", "2", "a", "b", "+", "-", "差评", "好评", "nо"[:1], "c++", "c#"]) == [("c++", "c#")]


def test_several_labels_a_text_are_refused():
    for form in (list, tuple):
        data = [{"text": f"text number {i}", "labels": form(["a", "b"][: 1 + i % 2])} for i in range(60)]
        message = refusal(data, label="labels")
        assert "holds lists" in message and "one label a row" in message
        assert "'labels': lists" in refusal(data)


# ------------------------------------------------------------------------------------------------ Parquet and frames


def parquet(path, columns, features=None):
    table = pyarrow.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, path)
    return path


IDS = [i % 2 for i in range(60)]
TEXTS = [f"a text of row {i}" for i in range(60)]
NAMED = {"names": ["no", "yes"], "_type": "ClassLabel"}


@pytest.mark.parametrize(
    "features",
    [
        {"label": NAMED, "extra": {"_type": "OfTomorrow"}},
        {"label": NAMED, "text": 3},
        {"label": NAMED, "gone": NAMED},
    ],
)
def test_of_foreign_metadata_the_names_of_classes_are_taken(tmp_path, features):
    path = parquet(tmp_path / "a.parquet", {"text": TEXTS, "label": IDS, "extra": IDS}, features)
    if features.get("text") == 3:
        assert adopt(path, label="label").definition.labels == ("0", "1")  # it is not understood
    else:
        assert adopt(path).definition.labels == ("no", "yes")


@pytest.mark.parametrize("metadata", [b"{", b"[]", b"null", b"\xff"])
def test_metadata_that_cannot_be_read_is_passed_over(tmp_path, metadata):
    table = pyarrow.table({"text": TEXTS, "label": IDS}).replace_schema_metadata({"huggingface": metadata})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert total(adopt(tmp_path / "a.parquet")) == 60


@pytest.mark.parametrize(("odd", "said"), [(2, "2 in row 6"), (-7, "-7 in row 6"), (99, "99 in row 6")])
def test_an_id_outside_the_names_is_named_with_its_row(tmp_path, odd, said):
    ids = [odd if i == 5 else value for i, value in enumerate(IDS)]
    path = parquet(tmp_path / "a.parquet", {"text": TEXTS, "label": ids}, {"label": NAMED})
    frame = datasets.Dataset.from_dict({"text": TEXTS, "label": ids}).cast_column(
        "label", datasets.ClassLabel(names=["no", "yes"])
    )
    for data in (path, frame):
        message = refusal(data)
        assert said in message and "no, yes" in message and "0 to 1" in message
    other = parquet(tmp_path / "b.parquet", {"text": TEXTS, "label": IDS, "x": ids}, {"x": NAMED, "label": NAMED})
    assert adopt(other, label="label").definition.labels == ("no", "yes")  # a fault of a column that is not used


def test_an_id_of_no_label_is_a_row_without_one(tmp_path):
    path = parquet(tmp_path / "a.parquet", {"text": TEXTS, "label": [-1, *IDS[1:]]}, {"label": NAMED})
    assert "1 row without a label (row 1)" in refusal(path)


def test_the_parts_of_a_data_set_are_read_whole(tmp_path):
    for part in range(2):
        parquet(
            tmp_path / f"train-0000{part}-of-00002.parquet",
            {"text": [f"{text} of part {part}" for text in TEXTS], "label": IDS},
        )
    assert total(adopt(tmp_path)) == 120
    one = adopt(tmp_path / "train-00000-of-00002.parquet")
    assert total(one) == 60 and any("a part of 2" in said for said in one.notices)
    parquet(tmp_path / "test-00000-of-00001.parquet", {"text": TEXTS, "label": IDS})
    assert "several data sets (test, train)" in refusal(tmp_path)
    (tmp_path / "test-00000-of-00001.parquet").unlink()
    parquet(tmp_path / "train-00001-of-00002.parquet", {"text": TEXTS, "other": IDS})
    assert "other columns" in refusal(tmp_path)
    (tmp_path / "train-00001-of-00002.parquet").unlink()
    assert "lacks part 00001 of 00002" in refusal(tmp_path)


def test_a_folder_of_save_to_disk_is_named_for_what_it_is(tmp_path):
    datasets.Dataset.from_list(rows()).save_to_disk(tmp_path / "saved")
    assert "datasets.load_from_disk" in refusal(tmp_path / "saved")


def test_tables_of_other_libraries():
    table = pyarrow.table({"text": TEXTS, "label": [None if i == 3 else i for i in IDS]})
    assert "1 row without a label" not in str(adopt(table, name="x").notices)
    found = adopt(pyarrow.table({"text": TEXTS, "label": IDS}), name="x")
    assert found.task == adopt([{"text": t, "label": i} for t, i in zip(TEXTS, IDS)], name="x").task
