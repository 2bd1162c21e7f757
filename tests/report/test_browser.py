"""The report as a browser shows it: nothing loads, nothing is wider than it should be, and its script does its work.

Needs a Chromium, Node, and `npm install --prefix tests/report/browser`; skipped with the reason where one is missing.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import nbformat.v4 as v4
import pandas as pd
import pytest
from pages import claim, curve, question, shown

from beft_lib.report import show
from beft_lib.report.page.content import Chapter, Drawing, Paper
from beft_lib.report.page.render import render

pytestmark = pytest.mark.slow  # a browser opens the page seven times
FOLDER = Path(__file__).with_name("browser")
CHROMIUM = ("/usr/lib/chromium/chromium", "chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What `look.mjs` finds in a report of two questions, three claims, a figure and a wide table."""
    browser = os.environ.get("BEFT_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if browser is None:
        pytest.skip("no Chromium: install one, or name it in BEFT_CHROMIUM")
    if (node := shutil.which("node")) is None:
        pytest.skip("no Node")
    if not (FOLDER / "node_modules").is_dir():
        pytest.skip("no axe-core and playwright-core: npm install --prefix tests/report/browser")
    with pytest.MonkeyPatch.context() as patch:
        report = made(tmp_path_factory.mktemp("page"), patch)
    done = subprocess.run([node, FOLDER / "look.mjs", browser, report], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def made(folder: Path, patch) -> Path:
    def draw():
        curve()
        show.show_table(pd.DataFrame({"task": list("abcd"), "score": ["9.5", "−10.0", "1e−3", "–"]}), "small", "Small.")
        wide = {"data": ["low"] * 3, "task": list("abc")} | {
            f"column {i}": [f"{i}.5 [1.0, 2.0]"] * 3 for i in range(12)
        }
        show.show_table(pd.DataFrame(wide).assign(last=[1, 2, 3]), "wide", "Wide.")

    text = "# Chapter\n\nAs Fig. 4 says of every term.\n\n## Setup\n\nInstall.\n\n## Result\n\n$x^2$ and `code`."
    cells = [v4.new_markdown_cell(text), shown(patch, draw)]
    nbformat.write(v4.new_notebook(cells=cells), folder / "00_part.ipynb")
    claims = claim("claim-a", exhibits=("fig-curve",)), claim("claim-b", "leans", text="It stands alone")
    return render(
        folder,
        title="Title",
        profile="smoke",
        paper=Paper("The paper", ("A. Author",), "ACL", "https://example.org"),
        lead="Lead.",
        questions=[question("Is it so?", *claims), question("And so?", claim("claim-c", "not tested", model=""))],
        headline=Drawing(show.address(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "Headline.", "Dots.", "x\n1\n"),
        labels={"00_part": {"Fig. 4": ["fig-curve"]}},
        chapters=[
            Chapter("00_part", folder / "00_part.ipynb", "done", None, 1.0, "Toy data."),
            Chapter("01_x", None, "to come"),
        ],
        provenance={"commit": "abc", "many": {str(i): i for i in range(12)}},
        notices=["A notice."],
    )


def test_nothing_is_loaded_and_nothing_goes_wrong(found):
    assert found["requests"] == [] and found["errors"] == []


def test_axe_finds_nothing_in_either_theme(found):
    assert found["axe"] == {"light": [], "dark": []}


def test_no_page_is_wider_than_its_window_and_no_table_than_its_box(found):
    assert found["wide"] == {"390": 390, "800": 800, "1300": 1300}
    assert found["scrolling"]["1300"] == []
    verdict, text = found["card"]
    assert verdict < text  # on a phone a claim is a card with its verdict on top


def test_the_ledger_is_searched_and_filtered_and_a_link_shows_what_is_hidden(found):
    assert found["claims"] == ["claim-a", "claim-b", "claim-c"] == found["revealed"]
    assert found["searched"] == ["claim-b"] and found["supported"] == ["claim-a"]
    assert found["told"] == "1 of 3 claims"


def test_a_table_sorts_by_its_numbers_both_ways(found):
    assert found["unsorted"] == ["9.5", "−10.0", "1e−3", "–"]
    assert found["ascending"] == ["−10.0", "1e−3", "9.5", "–"]
    assert found["descending"] == ["9.5", "1e−3", "−10.0", "–"]


def test_a_reference_shows_its_figure_and_a_figure_opens_large(found):
    assert found["glance"] and found["gone"] and found["large"]


def test_the_theme_goes_round(found):
    automatic, light, dark, again = found["themes"]
    assert automatic == light == again != dark


def test_without_a_script_all_is_there_and_no_button_is_dead(found):
    assert found["plain"] == 3 and found["buttons"] == 0
