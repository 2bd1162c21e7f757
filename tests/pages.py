"""Reports that tests make: notebooks of a few cells, claims and questions, figures and tables as `show` shows them."""

import matplotlib.pyplot as plt
import nbformat.v4 as v4

from beft_lib.report import show
from beft_lib.report.page.content import Answer, Claim, Question


def display(data, **metadata):
    return v4.new_output("display_data", data=data, metadata=metadata)


def code(source, *results, tags=()):
    return v4.new_code_cell(source, execution_count=1, outputs=list(results), metadata={"tags": list(tags)})


def claim(id_, verdict="supported", text="A claim", **more):
    given = {
        "section": "§1",
        "model": "MiniLM-L6",
        "paper": "5.8",
        "ours": "7.0 [4.2, 9.9] points",
        "why": "above zero",
    }
    return Claim(**{"id": id_, "text": text, "verdict": verdict, "chapter": "00_part"} | given | more)


def question(title, *claims, **more):
    answers = tuple(Answer(c.id, c.verdict, "Yes", f"{c.text} holds.", c.chapter) for c in claims[:1])
    given = {"answers": answers, "counts": {c.verdict: 1 for c in claims}, "gathered": "One is undecided."}
    return Question(**{"title": title, "claims": claims} | given | more)


def shown(monkeypatch, draw):
    """What `show.show` and `show.show_table` display, as a code cell with these outputs."""
    found = []
    output = v4.new_output
    monkeypatch.setattr(
        show, "display", lambda data, raw, metadata: found.append(output("display_data", data=data, metadata=metadata))
    )
    draw()
    return code("draw()", *found)


def curve(name="curve", caption="A curve."):
    figure, axis = plt.subplots()
    axis.plot([0, 1], [2, 3], label="b_v")
    show.show(figure, name, caption, "It rises.")
