"""Sources of data: local folders in every state of disrepair, and the Hub, reachable or not."""

import contextlib
import gzip
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from beft_lib import tasks
from beft_lib.errors import UserError
from beft_lib.tasks.definition import Hub
from beft_lib.tasks.sources import hub, pinned

ROWS = [
    {"sentence1": "Rain fell.", "sentence2": "It was wet.", "label": 0, "idx": 5},
    {"sentence1": "Snow\u2028fell.", "sentence2": "It was hot.", "label": 1, "idx": 2},
]


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.fixture
def folder(tmp_path):
    """A valid rte in a local folder."""
    (tmp_path / "rte").mkdir()
    for split in ("train", "validation"):
        (tmp_path / "rte" / f"{split}.jsonl.gz").write_bytes(gzip.compress(lines(ROWS)))
    return tmp_path


def load(folder, task="rte", split="train"):
    return tasks.load(task, split, f"local:{folder}")


def refused(message, function, *arguments):
    with pytest.raises(UserError) as error:
        function(*arguments)
    for part in message.split("..."):
        assert part.strip() in str(error.value)


# --- naming a source


def test_sources(tmp_path):
    assert tasks.parse_source("hub") == ("hub", None)
    assert tasks.parse_source("bundled") == ("bundled", None)
    assert tasks.parse_source(f"local:{tmp_path}") == ("local", tmp_path)
    assert "~" not in str(tasks.parse_source("local:~/data").folder)


@pytest.mark.parametrize("text", ["", "Hub", "disk:/tmp", "/tmp", "hub:x"])
def test_unknown_source_names_the_valid_forms(text):
    refused("unknown data source ... valid: bundled, hub, local:DIR", tasks.parse_source, text)


def test_local_without_a_folder():
    refused("names no folder", tasks.parse_source, "local:")


@pytest.mark.parametrize("source", ["hub", "local:."])
def test_a_toy_task_comes_from_bundled_only(source):
    refused(
        f"'toy-sentiment' is not available from data source '{source}'; valid: bundled",
        tasks.sizes,
        "toy-sentiment",
        source,
    )


def test_a_real_task_never_comes_from_bundled():
    refused(
        "'sst2' is not available from data source 'bundled'; valid: hub, local:DIR. The bundled tasks "
        "are toy-causes, toy-entailment",
        tasks.load,
        "sst2",
        "train",
        "bundled",
    )


def test_unknown_split():
    refused(
        "unknown split of task 'toy-sentiment' 'test'; valid: train, validation",
        tasks.load,
        "toy-sentiment",
        "test",
        "bundled",
    )


# --- local folders


def test_local_examples(folder):
    examples = load(folder)
    assert examples.texts == (("Rain fell.", "It was wet."), ("Snow\u2028fell.", "It was hot."))
    assert examples.labels.dtype == np.int64 and examples.labels.tolist() == [0, 1]
    assert examples.ids == ("5", "2")
    assert tasks.sizes("rte", f"local:{folder}") == {"train": 2, "validation": 2}


def test_local_without_idx_numbers_the_rows(folder):
    (folder / "rte" / "train.jsonl.gz").unlink()
    (folder / "rte" / "train.jsonl").write_bytes(
        lines([{k: v for k, v in row.items() if k != "idx"} for row in ROWS]) + b"\r\n\n"
    )
    assert load(folder).ids == ("0", "1")


def test_local_examples_are_kept_until_the_file_changes(folder):
    first, before = load(folder), tasks.version("rte", f"local:{folder}")
    assert load(folder) is first
    path = folder / "rte" / "train.jsonl.gz"
    path.write_bytes(gzip.compress(lines(ROWS[:1])))
    os.utime(path, ns=(1, 1))
    assert len(load(folder)) == 1
    assert tasks.version("rte", f"local:{folder}") != before


def test_local_version_is_of_the_content(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "rte").mkdir()
    for split in ("train", "validation"):
        (other / "rte" / f"{split}.jsonl").write_bytes(lines(ROWS))
    version = tasks.version("rte", f"local:{folder}")
    assert version == tasks.version("rte", f"local:{other}")
    assert version.startswith("sha256:") and len(version) == 7 + 64


def test_an_optional_split_may_be_missing(tmp_path):
    (tmp_path / "mnli").mkdir()
    row = {"premise": "a", "hypothesis": "b", "label": 2}
    for split in ("train", "validation_matched"):
        (tmp_path / "mnli" / f"{split}.jsonl").write_bytes(lines([row]))
    source = f"local:{tmp_path}"
    assert tasks.sizes("mnli", source) == {"train": 1, "validation_matched": 1}
    refused(
        "validation_mismatched.jsonl.gz ... does not exist",
        tasks.load,
        "mnli",
        "validation_mismatched",
        source,
    )
    before = tasks.version("mnli", source)
    (tmp_path / "mnli" / "validation_mismatched.jsonl").write_bytes(lines([row]))
    assert tasks.sizes("mnli", source)["validation_mismatched"] == 1
    assert tasks.version("mnli", source) != before


def test_word_variant_reads_the_same_folder(tmp_path):
    (tmp_path / "wic").mkdir()
    row = {"word": "bank", "sentence1": "A {river} bank.", "sentence2": "A savings bank.", "label": 0}
    (tmp_path / "wic" / "train.jsonl").write_bytes(lines([row]))
    assert load(tmp_path, "wic").texts == (("A {river} bank.", "A savings bank."),)
    assert load(tmp_path, "wic-word").texts == (("bank: A {river} bank.", "A savings bank."),)


def test_a_task_of_ones_own(tmp_path):
    task = tasks.Task(
        name="mine",
        version=1,
        title="Mine",
        kind="regression",
        text=["{t}"],
        label="y",
        range=(0, 1),
        metrics=["pearson"],
        validation=[{"split": "dev", "title": "Mine"}],
        learning_rate=1e-3,
        epochs={"base": 1},
        n={"low": 1},
    )
    (tmp_path / "mine").mkdir()
    for split in task.splits:
        (tmp_path / "mine" / f"{split}.jsonl").write_bytes(lines([{"t": "x", "y": 0.25}]))
    assert tasks.load(task, "dev", f"local:{tmp_path}").labels.tolist() == [0.25]
    refused("'mine' is not available from data source 'hub'; valid: local:DIR", tasks.sizes, task, "hub")


def test_folder_missing(tmp_path):
    refused("data folder ... nowhere ... does not exist", load, tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    refused("file ... is not a folder", load, tmp_path / "file")


def test_task_folder_missing(folder):
    refused("task 'cb' needs the folder ... cb ... does not exist; the folders there are: rte", load, folder, "cb")


def test_split_missing(folder):
    (folder / "rte" / "validation.jsonl.gz").unlink()
    message = "validation.jsonl.gz (or .jsonl), which does not exist; ... has train.jsonl.gz"
    refused(message, load, folder, "rte", "validation")
    refused(message, tasks.sizes, "rte", f"local:{folder}")
    refused(message, tasks.version, "rte", f"local:{folder}")


def test_both_forms_of_a_file(folder):
    (folder / "rte" / "train.jsonl").write_bytes(lines(ROWS))
    refused("has both train.jsonl.gz and train.jsonl; remove", load, folder)


GOOD = lines(ROWS[:1])
BROKEN = {
    "empty": (b"", "has no rows"),
    "blank lines": (b"\n \n", "has no rows"),
    "not json": (GOOD + b"{'a': 1}\n", "train.jsonl line 2: not valid JSON"),
    "cut off": (GOOD + lines(ROWS[1:])[:30], "line 2: not valid JSON"),
    "not an object": (GOOD + b"\n[1, 2]\n", "line 3: a JSON list; a line is one JSON object"),
    "not utf-8": (GOOD + b'{"sentence1": "caf\xe9"}\n', "line 2: byte 0xe9 is not UTF-8"),
    "repeated idx": (GOOD + GOOD, "line 2: idx 5 was used before, in ... train.jsonl line 1"),
}


@pytest.mark.parametrize("content, message", BROKEN.values(), ids=BROKEN)
def test_broken_file(folder, content, message):
    (folder / "rte" / "train.jsonl.gz").unlink()
    (folder / "rte" / "train.jsonl").write_bytes(content)
    refused(message, load, folder)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: b"plain text", lambda data: data[:20] + b"\0" * 20]
)
def test_broken_gzip(folder, damage):
    path = folder / "rte" / "train.jsonl.gz"
    path.write_bytes(damage(path.read_bytes()))
    refused(f"{path} is not a complete gzip file ... copy it again", load, folder)


def test_unreadable_file(folder):
    (folder / "rte" / "train.jsonl.gz").unlink()
    (folder / "rte" / "train.jsonl").mkdir()
    refused("train.jsonl cannot be read (Is a directory)", load, folder)


INVALID = {
    "no column": (
        "rte",
        {"sentence2": None},
        "no column 'sentence2'; task 'rte' needs the columns sentence1, sentence2 and label",
    ),
    "no label": ("rte", {"label": None}, "no column 'label'; ... this row has sentence1, sentence2, idx"),
    "number for text": ("rte", {"sentence1": 3}, "column 'sentence1' is 3, which is not a text"),
    "list for text": ("rte", {"sentence1": ["a"]}, "column 'sentence1' is ['a'], which is not a text"),
    "blank text": ("rte", {"sentence2": " \t"}, "column 'sentence2' is blank"),
    "label too large": (
        "rte",
        {"label": 2},
        "label 2 is not a label of task 'rte'; valid: 0 (entailment), 1 (not_entailment)",
    ),
    "label a name": ("rte", {"label": "entailment"}, "label 'entailment' is not a label"),
    "label a float": ("rte", {"label": 1.0}, "label 1.0 is not a label"),
    "label a bool": ("rte", {"label": True}, "label True is not a label"),
    "no gold label": ("rte", {"label": -1}, "the label is -1, which marks a row without a gold label"),
    "score too large": (
        "stsb",
        {"label": 5.5},
        "label 5.5 is not a label of task 'stsb'; valid: a number from 0 to 5",
    ),
    "score nan": ("stsb", {"label": float("nan")}, "label nan is not"),
    "score a text": ("stsb", {"label": "4"}, "label '4' is not"),
    "no gold score": ("stsb", {"label": -1.0}, "the label is -1"),
}


@pytest.mark.parametrize("task, change, message", INVALID.values(), ids=INVALID)
def test_invalid_row(tmp_path, task, change, message):
    good = {**ROWS[0], "label": 1}
    bad = {key: value for key, value in {**ROWS[1], **change}.items() if value is not None}
    (tmp_path / task).mkdir()
    (tmp_path / task / "train.jsonl").write_bytes(lines([good, bad]))
    refused(f"{tmp_path / task / 'train.jsonl'} line 2: ... {message}", load, tmp_path, task)


def test_a_blank_question_is_part_of_qqp(tmp_path):
    (tmp_path / "qqp").mkdir()
    path = tmp_path / "qqp" / "train.jsonl"
    path.write_bytes(lines([{"question1": "Why?", "question2": "", "label": 0}]))
    assert load(tmp_path, "qqp").texts == (("Why?", ""),)
    path.write_bytes(lines([{"question1": "", "question2": " ", "label": 0}]))
    refused("is blank", load, tmp_path, "qqp")


def test_scores_are_float64_and_may_be_whole_numbers(tmp_path):
    (tmp_path / "stsb").mkdir()
    rows = [
        {**ROWS[0], "label": 5},
        {**ROWS[1], "label": 3.799999952316284},
    ]  # the second as a float32 has it
    (tmp_path / "stsb" / "train.jsonl").write_bytes(lines(rows))
    labels = load(tmp_path, "stsb").labels
    assert labels.dtype == np.float64 and labels.tolist() == [5.0, 3.8]


# --- the Hub


@pytest.fixture
def fake_hub(monkeypatch):
    """`datasets.load_dataset` answers from a table of rows; the calls are recorded."""
    import datasets

    calls = []

    def install(splits, features=None):
        def load_dataset(*arguments, **options):
            calls.append((arguments, options))
            table = {
                name: {column: [row[column] for row in rows] for column in features or rows[0]}
                for name, rows in splits.items()
            }
            return datasets.DatasetDict({name: datasets.Dataset.from_dict(table[name], features) for name in table})

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return calls

    hub.load.cache_clear()
    hub.open_pinned.cache_clear()
    yield install
    hub.load.cache_clear()
    hub.open_pinned.cache_clear()


def classes(*names):
    from datasets import ClassLabel, Features, Value

    return Features(
        {
            "sentence1": Value("string"),
            "sentence2": Value("string"),
            "label": ClassLabel(names=names),
            "idx": Value("int32"),
        }
    )


def test_hub_examples_equal_local_ones(fake_hub, folder):
    calls = fake_hub(
        {"train": ROWS, "validation": ROWS, "test": [{**ROWS[0], "label": -1}]},
        classes("entailment", "not_entailment"),
    )
    assert tasks.sizes("rte", "hub") == {"train": 2, "validation": 2}
    assert tasks.load("rte", "train", "hub").digest() == load(folder).digest()
    revision = tasks.get("rte").hub.revision
    assert calls == [(("nyu-mll/glue", "rte"), {"revision": revision})]
    assert tasks.version("rte", "hub") == f"nyu-mll/glue@{revision}/rte"


def test_hub_label_names_are_compared(fake_hub):
    fake_hub({"train": ROWS}, classes("not_entailment", "entailment"))
    refused(
        "nyu-mll/glue rte train: the ids of 'label' stand for not_entailment, entailment, but task 'rte' "
        "defines entailment",
        tasks.load,
        "rte",
        "train",
        "hub",
    )


def test_hub_rows_without_gold_label(fake_hub):
    fake_hub({"train": ROWS, "validation": [ROWS[0], {**ROWS[1], "label": -1}]})
    refused("nyu-mll/glue rte validation row 1: the label is -1", tasks.sizes, "rte", "hub")


def test_hub_without_a_split(fake_hub):
    fake_hub({"train": ROWS})
    refused("rte validation: no such split ... there is train", tasks.sizes, "rte", "hub")


def test_hub_without_rows_or_columns(fake_hub):
    fake_hub({"train": []}, classes("entailment", "not_entailment"))
    refused("rte train has no rows", tasks.load, "rte", "train", "hub")
    hub.open_pinned.cache_clear()
    fake_hub({"train": [{"premise": "a", "hypothesis": "b", "label": 0}]})
    refused("rte train row 0: no column 'sentence1'", tasks.load, "rte", "train", "hub")


def test_hub_error_becomes_advice(monkeypatch, fake_hub):
    import datasets

    def load_dataset(*arguments, **options):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "check_reachable", lambda *arguments: None)
    refused(
        "nyu-mll/glue (rte, revision ... of task 'rte' could not be read from ... ConnectionError: no "
        "route ... "
        "--data local:DIR ... --data bundled",
        tasks.sizes,
        "rte",
        "hub",
    )
    assert not datasets.config.HF_HUB_OFFLINE or os.environ["HF_HUB_OFFLINE"]  # as it was before


def client(code, endpoint, home, offline="0"):
    """What `code` prints in a process of its own against `endpoint`, and the seconds it takes."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": offline,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    code = (
        "import time, datasets; from beft_lib import tasks; from beft_lib.errors import UserError; start "
        "= time.time()\n"
        f"try: print({code})\nexcept UserError as error: print('UserError', error)\n"
        "print(time.time() - start)"
    )
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    *_, answer, seconds = result.stdout.splitlines()
    return answer, float(seconds)


@pytest.mark.parametrize("offline", ["0", "1"])
def test_unreachable_hub_fails_fast(tmp_path, offline):
    answer, seconds = client("tasks.sizes('rte', 'hub')", "http://127.0.0.1:9", tmp_path, offline)
    assert answer.startswith("UserError data set nyu-mll/glue (rte") and "http://127.0.0.1:9" in answer
    assert ("HF_HUB_OFFLINE" if offline == "1" else "refused") in answer
    assert "--data local:DIR" in answer and "--data bundled" in answer
    assert seconds < 10


@contextlib.contextmanager
def stand_in(files, commit):
    """The address of a Hub on loopback with one data set, which is `commit` whatever the revision."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def answer(self, code, body=b"", **headers):
            self.send_response(code)
            for name, value in {**headers, "X-Repo-Commit": commit, "Content-Length": len(body)}.items():
                self.send_header(name.replace("_", "-"), str(value))
            self.end_headers()
            self.wfile.write(body if self.command == "GET" else b"")

        def do_GET(self):
            path = self.path.partition("?")[0]
            _, found, name = path.partition("/resolve/")
            name = name.partition("/")[2]
            if found and name in files:
                return self.answer(200, files[name], ETag=f'"{hashlib.sha1(files[name]).hexdigest()}"')
            if "/tree/" in path:
                inside = path.partition("/tree/")[2].partition("/")[2]
                tree = [
                    {"type": "file", "oid": "0" * 40, "size": len(content), "path": name}
                    for name, content in files.items()
                    if name.startswith(inside)
                ]
                return self.answer(200, json.dumps(tree).encode())
            if "/revision/" in path:
                info = {
                    "id": "nyu-mll/glue",
                    "sha": commit,
                    "siblings": [{"rfilename": name} for name in files],
                }
                return self.answer(200, json.dumps(info).encode())
            self.answer(404, b"{}", X_Error_Code="EntryNotFound")

        do_HEAD = do_GET

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_hub_then_cache_then_never_another_revision(tmp_path):
    import io

    import pyarrow
    import pyarrow.parquet

    parquet = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), parquet)
    names = {split: f"rte/{split}-00000-of-00001.parquet" for split in ("train", "validation")}
    card = (
        "---\nconfigs:\n- config_name: rte\n  data_files:\n"
        + "".join(f"  - split: {split}\n    path: {name}\n" for split, name in names.items())
        + "---\n"
    )
    files = {"README.md": card.encode(), **dict.fromkeys(names.values(), parquet.getvalue())}
    sizes = "tasks.sizes('rte', 'hub')"
    with stand_in(files, tasks.get("rte").hub.revision) as address:
        assert client(sizes, address, tmp_path)[0] == "{'train': 2, 'validation': 2}"
    assert client(sizes, "http://127.0.0.1:9", tmp_path)[0] == "{'train': 2, 'validation': 2}"
    other = """(lambda task: tasks.sizes(task.model_copy(update={
        'hub': task.hub.model_copy(update={'revision': 'f' * 40})}), 'hub'))(tasks.get('rte'))"""
    answer, _ = client(other, "http://127.0.0.1:9", tmp_path)
    assert answer.startswith("UserError") and "f" * 40 in answer


def test_only_files_of_the_pinned_revision_count(monkeypatch):
    import huggingface_hub

    class Split:
        cache_files = [{"filename": f"/cache/rte/0.0.0/{'a' * 40}/glue-train.arrow"}]

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *arguments, **options: None)
    ours, other = (Hub(path="nyu-mll/glue", name="rte", revision=letter * 40, train=1) for letter in "ab")
    assert pinned.is_pinned(ours.path, ours.revision, {"train": Split})
    assert not pinned.is_pinned(other.path, other.revision, {"train": Split})
