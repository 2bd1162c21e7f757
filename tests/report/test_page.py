"""The report: one file that loads nothing, loses nothing, and runs nothing that a notebook brought along."""

import base64
import hashlib
import os
import re
from pathlib import Path
from urllib.parse import unquote

import matplotlib.pyplot as plt
import nbformat
import nbformat.v4 as v4
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from pages import claim, code, curve, display, question, shown

from beft_lib.report import show
from beft_lib.report.page import markdown, outputs, tables
from beft_lib.report.page.content import Chapter, Drawing, Paper
from beft_lib.report.page.exhibits import Exhibits
from beft_lib.report.page.formula import mathml
from beft_lib.report.page.glossary import GLOSSARY
from beft_lib.report.page.outline import Anchors, Outline
from beft_lib.report.page.references import Linker
from beft_lib.report.page.render import render

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><rect id="a" width="9"/></svg>'
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    '<iframe src="//evil"></iframe>',
    '"><svg onload=alert(1)>',
    '<p style="background:url(http://evil/x)" onclick="alert(1)">p</p>',
    "[x](javascript:alert(1))",
    "![x](http://evil/pixel.png)",
    '![a" onerror="alert(1)](data:image/png;base64,AAAA)',
    '<style>@import "http://evil"</style>',
    "<link rel=stylesheet href=http://evil>",
    '<meta http-equiv=refresh content="0;url=http://evil">',
    "[x](<data:text/html,evil>)",
    r"$\href{javascript:alert(1)}{x}$",
    r"$\text{<script>alert(1)</script>}$",
    r"$\style{background:url(http://evil)}{x}$",
    "$<img src=x>$",
]


def outline(**settings):
    return Outline(Anchors(), "chapter", "The heading", **settings)


def md(text):
    return markdown.render(text, outline())


def failure(message="no <b>bold</b>"):
    return v4.new_output(
        "error",
        ename="ValueError",
        evalue=message,
        traceback=["\x1b[0;31mValueError\x1b[0m", f"line 1: {message}"],
    )


@pytest.fixture
def make(tmp_path):
    """Render a report over notebooks given as lists of cells."""

    def build(*notebooks, chapters=None, **settings):
        made = []
        for n, cells in enumerate(notebooks):
            path = tmp_path / f"0{n}_part.ipynb"
            nbformat.write(v4.new_notebook(cells=cells), path)
            made.append(Chapter(f"0{n}_part", path, "done", None, 75.0))
        settings = {
            "title": "Title",
            "profile": "smoke",
            "lead": "Lead **text**.",
            "provenance": {},
            "notices": [],
        } | settings
        out = render(
            tmp_path / "out" / "report.html",
            chapters=chapters(made) if callable(chapters) else chapters or made,
            **settings,
        )
        return BeautifulSoup(out.read_text(encoding="utf-8"), "html.parser")

    return build


def assert_harmless(soup):
    """Nothing loads, nothing runs: no handler, no frame, only data: pictures, plain links and numbers to keep."""
    for tag in soup.find_all(True):
        assert tag.name not in {"iframe", "object", "embed", "base", "form", "audio", "video", "source"}, tag
        for name, value in tag.attrs.items():
            value = " ".join(value) if isinstance(value, list) else value
            assert not name.startswith("on"), tag
            if name in ("src", "srcset", "poster", "data", "background", "xlink:href"):
                assert value.startswith("data:image/"), tag
            if name == "href":
                kept = "|data:text/csv;" if tag.has_attr("download") else ""
                assert re.match(rf"#|https?://|mailto:{kept}" if tag.name == "a" else "data:image/", value), tag
            if name == "style":
                assert "url" not in value.lower(), tag
    assert not re.search(r"url\(|@import", "".join(s.get_text() for s in soup.find_all("style")))


def test_the_page_is_self_contained_and_its_policy_admits_only_its_own_script(make):
    soup = make([v4.new_markdown_cell("# T\n[site](https://example.org)"), code("1", display({"image/svg+xml": SVG}))])
    assert_harmless(soup)
    policy = soup.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    (script,) = soup.find_all("script")
    digest = base64.b64encode(hashlib.sha256(script.string.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy
    assert soup.find("link", rel="icon")["href"].startswith("data:")


def test_the_page_has_language_landmarks_and_headings_in_order(make):
    cells = [v4.new_markdown_cell("# A\n\n#### deep\n\n## B\n\n# another\n\n<h2>raw</h2>")]
    soup = make(cells, cells, lead="# Lead\n\ntext", questions=[question("Is it so?", claim("claim-a"))])
    assert soup.html["lang"] == "en"
    assert [soup.find(tag) is not None for tag in ("header", "nav", "main", "footer")] == [True] * 4
    assert soup.find("a", class_="skip")["href"] == "#" + soup.main["id"]
    levels = [int(h.name[1]) for h in soup.find_all(re.compile(r"^h[1-6]$"))]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for a in soup.find_all("a", href=re.compile("^#"))}
    assert targets <= set(ids)
    assert [a.get_text() for a in soup.select("nav li.chapter > a")] == ["A", "A"]


@pytest.mark.parametrize("text", EVIL)
def test_hostile_text_is_inert_wherever_it_stands(make, text):
    bad = [
        v4.new_markdown_cell(f"# {text}\n\n## {text}\n\n{text}\n\n- {text}\n\n| a | b |\n|---|---|\n| {text} | x |\n"),
        code(
            text,
            v4.new_output("stream", text=text),
            failure(text),
            display({"text/html": text}),
            display({"text/markdown": text}),
            display({"text/html": f"<table><tr><td>{text}</td></tr></table>"}, caption=text),
            display({"text/plain": text}),
            display({"image/png": PNG}, alt=text, caption=text),
            display({"image/svg+xml": SVG}, alt=text),
        ),
    ]
    soup = make(
        bad,
        title=text,
        profile=text,
        lead=text,
        notices=[text],
        paper=Paper(text, (text,), text, "https://example.org"),
        questions=[
            question(text, claim("claim-a", text, text, model=text, why=text, notes={text: text}), gathered=text)
        ],
        headline=Drawing("data:image/svg+xml,", text, text, text),
        provenance={text: {text: [text]}},
        chapters=lambda made: [
            *made,
            Chapter(text, None, "failed", text),
            Chapter(text + "2", None, "not run", text),
        ],
    )
    assert_harmless(soup)
    assert len(soup.find_all("script")) == 1


@pytest.mark.parametrize(
    "source, alone",
    [
        ("$b_v$", False),
        ("a $b_v$ c", False),
        ("$$b_v$$", True),
        ("- item $b_v$", False),
        ("| $b_v$ |\n|---|\n| 1 |", False),
        ("# on $b_v$", False),
        ("\\begin{align*}b_v\\end{align*}", True),
        ("- item\n\n  $$\n  b_v\n  $$", True),
        ("so $$b_v$$ holds", True),
        ("**$b_v$**", False),
    ],
)
def test_formulas_become_mathml_wherever_they_stand(source, alone):
    soup = BeautifulSoup(markdown.render(source, outline(take_title=False)), "html.parser")
    assert soup.find("math")["display"] == ("block" if alone else "inline")
    assert soup.find("msub").get_text() == "bv" and "$" not in soup.get_text()


@pytest.mark.parametrize(
    "latex, text",
    [
        (r"\mathcal{I}(\mathbf{b})", "ℐ(𝐛)"),
        (r"\mathcal I \mathbb R \mathbf x \boldsymbol{\theta}", "ℐℝ𝐱𝜽"),
        (r"\|x\|_2^2 \cdot |y|", "‖x‖22·|y|"),
        (r"\arg\max_{t\in\{q,k,v\}} s_t", "arg maxt∈{q,k,v}st"),
        (r"\operatorname*{arg\,max}_t s", "arg maxts"),
        (r"1 \pm 2 \sim \%", "1±2∼%"),
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", "a=bc=d"),
        (r"\text{a < b}", "a\xa0<\xa0b"),
        (r"a \& b", "a&b"),
        (
            r"\frac{1}{L \cdot N}\sum_{i=1}^N\left(\nabla_{\mathbf{b}}\log p_{\theta}"
            r"(\mathbf{y}_i \mid \mathbf{x}_i)\right)^2",
            "1L·N∑i=1N(∇𝐛logpθ(𝐲i∣𝐱i))2",
        ),
    ],
)
def test_formulas_of_the_paper_read_as_they_should(latex, text):
    soup = BeautifulSoup(mathml(latex, display=True), "html.parser")
    assert soup.math and soup.get_text() == text
    assert soup.math["alttext"] == latex


@pytest.mark.parametrize(
    "latex",
    [
        r"\unknown{x}",
        r"\frac{1",
        r"x_",
        r"\left( x",
        "a & b",
        r"\newcommand{\a}{\a\a}\a",
        "",
        r"\middle| <b>",
    ],
)
def test_a_formula_that_cannot_be_converted_is_shown_as_its_source(latex):
    for display_ in (False, True):
        soup = BeautifulSoup(mathml(latex, display_), "html.parser")
        assert soup.math is None and soup.find("code", class_="tex").get_text() == latex.strip()


@pytest.mark.parametrize(
    "source, text",
    [
        (r"costs \$5 and \$6", "costs $5 and $6"),
        ("from $5 to $10", "from $5 to $10"),
        ("`$x$`", "$x$"),
        ("```\n$x$ $$y$$\n```", "$x$ $$y$$"),
        ("a `$$` b `$$` c", "a $$ b $$ c"),
    ],
)
def test_dollars_that_are_no_formula_stay_dollars(source, text):
    soup = BeautifulSoup(md(source), "html.parser")
    assert soup.math is None and soup.get_text().strip() == text


def test_a_bar_in_a_formula_does_not_end_a_cell_of_a_table():
    soup = BeautifulSoup(md("| a | b |\n|---|--:|\n| $\\|x\\|$ and $p(y|x)$ | `c\\|d` |"), "html.parser")
    assert [td.get_text() for td in soup.find_all("td")] == ["‖x‖ and p(y|x)", "c|d"]
    assert [th["scope"] for th in soup.find_all("th")] == ["col", "col"]
    assert soup.find("div", class_="scroll")["tabindex"] == "0"


def test_allowed_html_stays_and_other_html_is_shown_as_text():
    assert "<sub>v</sub>" in md("b<sub>v</sub>")
    assert "&lt;marquee&gt;" in md("<marquee>x</marquee>")


def test_links_between_notebooks_lead_to_chapters(make):
    one = [
        v4.new_markdown_cell(
            "# One\n\n[two](01_part.ipynb#The-result) [gone](01_part.ipynb#nowhere) [here](#Own) "
            "[file](../setup.py)\n\n## Own"
        )
    ]
    two = [v4.new_markdown_cell("# Two\n\n## The result")]
    soup = make(one, two)
    links = {a.get_text(): a["href"] for a in soup.main.find_all("a")}
    assert links["two"] == "#01_part--the-result" and links["here"] == "#00_part--own"
    assert links["gone"] == "#01_part" and "file" not in links


def test_code_is_folded_highlighted_and_can_be_toggled(make):
    soup = make([v4.new_markdown_cell("# T"), code("x = 'a<b'  # why")])
    cell = soup.find("details", class_="code")
    assert not cell.has_attr("open") and cell.pre.get_text() == "x = 'a<b'  # why\n" and cell.find("span", class_="c1")
    toggle = soup.find("button", id="show-code")
    assert toggle["aria-pressed"] == "false" and toggle.has_attr("hidden")  # without scripts there is no dead button


def test_a_figure_is_an_image_with_text_and_legend_svg_before_png():
    soup = BeautifulSoup(
        outputs.render(
            [display({"image/svg+xml": SVG, "image/png": PNG}, alt="Three bars", caption="Bars of $b_v$")],
            outline(),
        ),
        "html.parser",
    )
    assert soup.img["alt"] == "Three bars" and soup.figcaption.get_text() == "Bars of bv" and soup.figcaption.math
    assert unquote(soup.img["src"].removeprefix("data:image/svg+xml,")) == " ".join(SVG.split())
    assert soup.find("script") is None


@pytest.mark.parametrize(
    "metadata, alt",
    [
        ({}, "Figure: The heading"),
        ({"caption": "C $b_{v}$"}, "C b_v"),
        ({"alt": "  "}, "Figure: The heading"),
        ({"image/png": {"alt": "own", "width": 90}}, "own"),
        ({"alt": 'say "x"'}, 'say "x"'),
    ],
)
def test_a_figure_is_never_without_a_text_alternative(metadata, alt):
    soup = BeautifulSoup(outputs.render([display({"image/png": PNG}, **metadata)], outline()), "html.parser")
    assert soup.img["alt"] == alt


def test_the_nearest_heading_names_what_has_no_name(make):
    soup = make(
        [
            v4.new_markdown_cell("# T\n\n## Scores of $b_v$"),
            code("1", display({"image/png": PNG}), display({"text/html": "<table><tr><td>1</td></tr></table>"})),
        ]
    )
    assert soup.main.img["alt"] == "Figure: Scores of b_v"
    assert soup.find("figcaption", class_="unseen").get_text() == "Table: Scores of b_v"


def test_markdown_images_come_from_the_notebook_or_are_named():
    attached = markdown.render(
        "![plot](attachment:a.png) ![](attachment:a.png) ![far](https://example.org/x.png)",
        outline(),
        {"a.png": {"image/png": PNG}},
    )
    soup = BeautifulSoup(attached, "html.parser")
    assert [i["alt"] for i in soup.find_all("img")] == [
        "plot",
        "Image in “The heading”",
    ] and "far" in soup.get_text()


def test_a_pandas_table_gets_scopes_caption_and_its_own_scrolling_box():
    columns = pd.MultiIndex.from_product([["low", "all"], ["SST-2", "RTE"]])
    frame = pd.DataFrame([["a", 1.5, 2, "3 ± 1"]] * 2, columns=columns, index=pd.Index(["b_q", "b_v"], name="term"))
    html = outputs.render([display({"text/html": frame._repr_html_()}, caption="Accuracy (%)")], outline())
    soup = BeautifulSoup(html, "html.parser")
    assert soup.find("div", class_="scroll").table["aria-labelledby"] == soup.figcaption["id"]
    assert soup.figcaption.get_text() == "Accuracy (%)"
    assert {th["scope"] for th in soup.find_all("th")} == {"col", "colgroup", "row"}
    assert all(th.get_text(strip=True) for th in soup.find_all("th"))
    assert "vertical-align" not in html  # pandas' own <style> is gone, not turned into text
    assert [td["class"] for td in soup.tbody.tr.find_all("td")] == [["short"], ["num"], ["num"], ["num"]]


def test_a_stylers_colours_survive_legibly_without_ids():
    style = pd.DataFrame({"$b_v$": [0.1, 0.9]}).style.map(
        lambda v: f"background-color: {'#440154' if v < 0.5 else '#eee'}; color: #777"
    )
    soup = BeautifulSoup(tables.from_html(style.set_caption("Own caption").to_html(), outline()), "html.parser")
    dark, light = [td["style"] for td in soup.tbody.find_all("td") if td.has_attr("style")]
    assert "#440154" in dark and "color: #ffffff" in dark and "color: #000000" in light
    assert soup.figcaption.get_text() == "Own caption" and soup.thead.math
    assert [tag["id"] for tag in soup.find_all(id=True)] == ["chapter--table"]


def test_the_questions_stand_first_and_their_answers_lead_to_the_claims(make):
    one, two = claim("claim-a"), claim("claim-b", "leans")
    questions = [question("Is it so?", one), question("And so?", two, claim("claim-c", "leans"))]
    paper = Paper("The paper", ("A. Author", "B. Author"), "ACL", "https://example.org/paper")
    soup = make([v4.new_markdown_cell("# T")], questions=questions, paper=paper)
    assert soup.header.find("a", href=paper.address) and "B. Author" in soup.header.get_text()
    first = soup.main.section
    assert [h.get_text() for h in first.find_all("h3")] == ["Is it so?", "And so?"]
    assert [a["href"] for a in first.find_all("a", class_="why")] == ["#claim-a", "#claim-b"]
    assert [[part.get_text() for part in bar.find_all("span")] for bar in first.find_all(class_="bar")] == [
        ["1"],
        ["1"],
    ]
    assert soup.find(id="status") is None  # all is well, and that is no news
    rows = soup.find_all("details", class_="claim")
    assert [row["id"] for row in rows] == ["claim-a", "claim-b", "claim-c"]
    assert not any(row.has_attr("open") for row in rows)
    assert [row["data-verdict"] for row in rows] == ["supported", "leans", "leans"]
    assert soup.find(id="filters").has_attr("hidden")  # without scripts there is no dead field
    assert [o.get_text() for o in soup.select("[data-key=verdict] option")] == ["all", "supported", "leans"]


def test_a_chapter_opens_with_its_answers_and_folds_what_readers_of_results_skip(make):
    cells = [
        v4.new_markdown_cell("# T"),
        v4.new_markdown_cell("## Setup\n\nInstall."),
        code("install()"),
        v4.new_markdown_cell("## Result"),
        code("say()", display({"text/markdown": "- found"}), tags=["answer"]),
    ]
    soup = make(cells, questions=[question("Is it so?", claim("claim-a"))])
    opening = soup.find("section", class_="chapter").find("div", class_="answer")
    assert "Is it so?" in opening.get_text() and "found" in opening.get_text()
    fold = soup.find("details", class_="fold")
    assert fold.summary.h3.get_text() == "Setup" and "install()" in fold.get_text()
    assert fold.find_next_sibling("h3").get_text() == "Result" and "Result" not in fold.get_text()
    assert [a.get_text() for a in soup.select("nav li.chapter li a")] == ["Result"]


def test_figures_and_tables_are_numbered_and_lie_over_what_belongs_to_them(make, monkeypatch):
    def draw():
        curve("curve", "The paper's curve. More.")
        frame = pd.DataFrame({"data": ["low", "all"], "task": ["SST-2", "RTE"], "score": [1.5, 2.5]})
        show.show_table(frame, "scores", "Table 1: scores of $b_v$.")

    own = claim("claim-a", exhibits=("tab-scores",), rows=(("RTE", "all"), ("RTE", "low")))
    cells = [v4.new_markdown_cell("# T\n\nAs Fig. 4 and Table 1 say, and Table 9."), shown(monkeypatch, draw)]
    labels = {"00_part": {"Fig. 4": ["fig-curve"], "Table 1": ["tab-scores"]}}
    soup = make(cells, questions=[question("Is it so?", own)], labels=labels, repository="owner/name")
    assert_harmless(soup)
    figure, table = soup.find(id="fig-curve"), soup.find(id="tab-scores")
    assert [a.get_text() for a in soup.select("a.number")] == ["Figure 1", "Table 1"]
    assert [e.find(class_="theirs").get_text() for e in (figure, table)] == [
        "the paper’s Fig. 4",
        "the paper’s Table 1",
    ]
    assert figure.img["alt"] == "It rises." and "<svg" in unquote(figure.img["src"])
    numbers = unquote(figure.find("a", class_="csv")["href"].partition(",")[2])
    assert numbers.splitlines() == ["panel,series,x,y", "panel 1,b_v,0,2", "panel 1,b_v,1,3"]
    assert unquote(table.find("a", class_="csv")["href"]).endswith("low,SST-2,1.5\nall,RTE,2.5\n")
    assert "Scores of" in table.figcaption.get_text() and table.figcaption.math
    assert "owner/name/blob/main/notebooks/00_part.ipynb" in figure.find("a", href=re.compile("colab"))["href"]
    # the claim leads to the table and to its row there, and both lead back
    links = [a["href"] for a in soup.find(id="claim-a").select(".unfolded a")]
    assert links[:2] == ["#tab-scores", "#tab-scores--rte-all"] and "#00_part" in links
    assert soup.find(id="tab-scores--rte-all").find_parent("tr").td.get_text() == "all"
    assert [a["href"] for a in table.select("details.claims a")] == ["#claim-a"]
    assert {a.get_text(): a["href"] for a in soup.select("section.chapter > p a.ref")} == {
        "Fig. 4": "#fig-curve",
        "Table 1": "#tab-scores",
    }
    assert [a["href"] for a in soup.select(".index a")] == ["#fig-curve", "#tab-scores"]
    assert "The paper's curve" in soup.select_one(".index li").get_text()


def test_a_heat_map_keeps_its_shades_in_the_dark(make, monkeypatch):
    def draw():
        curve()
        figure, axis = plt.subplots()
        axis.pcolormesh([[0.5, 0.25]])
        show.show(figure, "map", "A map.", "Two cells.")

    soup = make([v4.new_markdown_cell("# T"), shown(monkeypatch, draw)])
    assert "shaded" in soup.find(id="fig-map")["class"] and "shaded" not in soup.find(id="fig-curve")["class"]


def test_executions_of_a_matrix_have_numbers_and_ids_of_their_own(monkeypatch):
    cell = shown(monkeypatch, curve)
    made = Exhibits(Anchors(), {"05_x": {"Table 5": ["fig-curve"]}}, "")
    for name in ("05_x__opt-1.3b", "05_x__opt-6.7b"):
        made.read(Chapter(name, None, "done"), [cell, cell])
    assert [(e.anchor, e.number) for e in made] == [("fig-curve__opt-1-3b", 1), ("fig-curve__opt-6-7b", 2)]
    assert made.labelled("05_x__opt-6.7b") == {"Table 5": "fig-curve__opt-6-7b"}
    assert made.labelled("06_y") == {"Table 5": "fig-curve__opt-1-3b"}


def test_a_wide_table_says_once_what_is_the_same_and_puts_the_paper_below(monkeypatch):
    frame = pd.DataFrame({"task": list("abc"), "metric": "accuracy", "b_k = head only": ["1.0 ± 0.5", "2.0", "3.0"]})
    frame = frame.assign(**{"b_k, paper": ["7.5", "–", "8.5"], "empty": "", "x": [1, 2, 3], "y": [4, 5, 6]})
    cell = shown(monkeypatch, lambda: show.show_table(frame, "wide", "Wide."))
    own = outline()
    made = Exhibits(own.anchors, {}, "")
    made.read(Chapter("00_part", None, "done"), [cell])
    own.exhibits = made.of("00_part")
    soup = BeautifulSoup(outputs.render(cell.outputs, own), "html.parser")
    assert [th.get_text() for th in soup.find_all("th")] == ["task", "b_k = head only", "x", "y"]
    assert soup.find(class_="said").get_text() == "In every row: metric: accuracy."
    assert [td.get_text() for td in soup.tbody.tr.find_all("td")] == ["a", "1.0\xa0±\xa00.5paper 7.5", "1", "4"]
    assert soup.tbody.find_all("tr")[1].find_all("td")[1].small is None


def test_the_words_of_the_page_are_those_of_the_guide():
    guide = (Path(__file__).resolve().parents[2] / "docs" / "reading-the-report.md").read_text(encoding="utf-8")
    assert set(GLOSSARY) - {"nothing learned"} <= set(re.findall(r"\*\*([\w ]+)\*\*", guide))


def test_words_are_explained_where_they_first_stand():
    link = Linker({})
    html = link('<h3 id="head">The head</h3><p>A <code>regime</code> and a regime; <a href="#x">a head</a>, Heads.</p>')
    assert re.findall(r'<a class="term" href="#([\w-]+)">(\w+)</a>', html) == [("word-regime", "regime")]
    assert "term" not in link("<p>Another regime.</p>")


def test_text_outputs_are_joined_escaped_and_coloured():
    stream = [
        v4.new_output("stream", name="stdout", text="a <b>\n"),
        v4.new_output("stream", name="stdout", text="\x1b[31mred\x1b[0m\n"),
        v4.new_output("stream", name="stderr", text="\r 10%\r 99%\r100%\n"),
        v4.new_output("execute_result", data={"text/plain": "'x'"}),
    ]
    soup = BeautifulSoup(outputs.render(stream, outline()), "html.parser")
    assert [p.get_text() for p in soup.find_all("pre")] == ["a <b>\nred", "100%", "'x'"]
    assert soup.find(class_="ansi-red-fg").get_text() == "red" and soup.details.find("pre")


def test_latex_and_unknown_outputs_are_not_lost():
    assert "<math" in outputs.render([display({"text/latex": r"$\displaystyle b_v$"})], outline())
    assert "application/x-widget" in outputs.render([display({"application/x-widget": "?"})], outline())


def test_a_failed_chapter_is_shown_at_its_place_in_the_contents_and_on_top(make, tmp_path):
    cells = [
        v4.new_markdown_cell("error above", metadata={"tags": ["papermill-error-cell-tag"]}),
        v4.new_markdown_cell("# T"),
        code("1", failure()),
    ]
    soup = make(
        cells,
        [v4.new_markdown_cell("# U")],
        chapters=lambda made: [
            Chapter("00_part", made[0].path, "failed", "\x1b[31mValueError\x1b[0m: no <b>bold</b>", 3.0),
            made[1],
            Chapter("02_gone", None, "not run", "left out"),
        ],
    )
    box = soup.find("div", class_="failed")
    assert "ValueError: no <b>bold</b>" in box.get_text() and "line 1: no" in box.details.pre.get_text()
    status = soup.find(id="status")
    assert "1 of 3 chapters done, 1 failed, 1 not run." in re.sub(r"\s+", " ", status.get_text())
    assert status.a["href"] == "#00_part" and "no <b>bold</b>" in status.get_text()
    assert [b.get_text() for b in soup.nav.find_all(class_="badge")] == ["failed", "not run"]
    assert "error above" not in soup.get_text()
    assert "left out" in soup.find(id="02_gone").get_text()


@pytest.mark.parametrize(
    "content", [None, "", '{"cells": [', '{"other": 1}', "[]", '{"nbformat": 4, "nbformat_minor": 5}']
)
def test_an_unreadable_notebook_is_a_failed_chapter_not_a_crash(make, tmp_path, content):
    path = tmp_path / "broken.ipynb"
    if content is not None:
        path.write_text(content)
    soup = make(chapters=[Chapter("01_broken__bert_low", path, "done", None, None)])
    assert "broken.ipynb could not be read" in soup.find("div", class_="failed").get_text()
    assert soup.main.h2.get_text() == "Broken bert low"


def test_an_unknown_status_is_refused():
    with pytest.raises(ValueError, match="'ok' is not one of done, failed, not run"):
        Chapter("01_x", None, "ok", None, None)


def test_the_report_is_written_whole_or_not_at_all(make, tmp_path, monkeypatch):
    make([v4.new_markdown_cell("# First")])
    before = (tmp_path / "out" / "report.html").read_bytes()

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        make([v4.new_markdown_cell("# Second")])
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["report.html"]
    assert (tmp_path / "out" / "report.html").read_bytes() == before


def test_a_folder_gets_report_html_and_the_same_input_the_same_bytes(tmp_path):
    settings = dict(title="T", profile="p", lead="$b_v$", chapters=[], provenance={}, date="2026-01-01")
    first = render(tmp_path, **settings)
    assert first == tmp_path / "report.html"
    assert first.read_bytes() == render(tmp_path / "again.html", **settings).read_bytes()


def test_notices_and_provenance_are_shown(make):
    soup = make(
        notices=["Toy data: not GLUE."],
        provenance={
            "commit": "abc",
            "env": {"python": "3.11", "cpu": {"threads": 2}},
            "seeds": [1, 2],
            "many": {str(i): i for i in range(20)},
            "none": None,
            "runs": [{"id": "r1"}],
        },
    )
    assert "Toy data: not GLUE." in soup.header.find(class_="notice").get_text()
    values = {dt.get_text(): dt.find_next_sibling("dd").get_text(" ", strip=True) for dt in soup.footer.find_all("dt")}
    assert (
        values["commit"] == "abc"
        and values["threads"] == "2"
        and values["seeds"] == "1, 2"
        and values["none"] == "–"
        and values["id"] == "r1"
    )
    assert values["19"] == "19"
