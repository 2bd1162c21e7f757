"""Whatever a writer of CSV, TSV or JSON lines makes is read right, or refused with one message: no row is lost.

BEFT_FUZZ_EXAMPLES raises the number of examples.
"""

import csv
import io
import json
import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beft_lib.errors import UserError
from beft_lib.tasks.own import lookalikes, reading

EXAMPLES = int(os.environ.get("BEFT_FUZZ_EXAMPLES", "60"))
fuzz = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
)
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=12).filter(str.strip)
TABLES = st.lists(st.tuples(CELLS, st.sampled_from(["bad", "good", "fête", "差评"])), min_size=4, max_size=12)


def message(error: UserError) -> bool:
    return bool(str(error).strip())


@fuzz
@given(TABLES, st.sampled_from(",;\t|"), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.data())
def test_separated_files(tmp_path_factory, rows, delimiter, quoting, data):
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    end, suffix = data.draw(st.sampled_from(["\n", "\r\n"])), data.draw(st.sampled_from(["csv", "tsv"]))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerows([("remark", "mood"), *rows])
    path = Path(tmp_path_factory.getbasetemp()) / f"fuzz.{suffix}"
    path.write_bytes(text.getvalue().encode(encoding))
    try:
        found = reading.read(path, "train")
    except UserError as error:
        assert message(error)
        return
    assert list(zip(found.columns["remark"], found.columns["mood"])) == rows


@fuzz
@given(st.binary(max_size=200), st.sampled_from(["csv", "tsv", "jsonl", "json", "parquet", "csv.gz"]))
def test_any_bytes(tmp_path_factory, content, suffix):
    path = Path(tmp_path_factory.getbasetemp()) / f"bytes.{suffix}"
    path.write_bytes(content)
    try:
        reading.read(path, "train")
    except UserError as error:
        assert message(error)


@fuzz
@given(st.lists(st.dictionaries(CELLS, st.none() | CELLS | st.integers() | st.floats(allow_nan=False)), min_size=1))
def test_json_lines(tmp_path_factory, records):
    path = Path(tmp_path_factory.getbasetemp()) / "fuzz.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    try:
        found = reading.read(path, "train")
    except UserError as error:
        assert message(error)
        return
    assert [{k: v[i] for k, v in found.columns.items() if v[i] is not None} for i in range(len(found))] == [
        {key: value for key, value in record.items() if value is not None} for record in records
    ]


@fuzz
@given(CELLS)
def test_a_plainest_form_is_its_own(name):
    once = lookalikes.canonical(name)
    assert lookalikes.canonical(once) == once
    assert lookalikes.skeleton(once) == lookalikes.skeleton(name)
