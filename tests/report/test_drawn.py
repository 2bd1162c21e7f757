"""The numbers under a figure are those that it shows."""

import matplotlib.pyplot as plt
import numpy as np

from beft_lib.report import drawn


def numbers(draw):
    figure, axes = plt.subplots(1, 2)
    draw(*axes)
    figure.canvas.draw()
    frame = drawn.numbers(figure)
    plt.close(figure)
    return frame


def test_points_have_their_panel_series_interval_and_the_name_of_their_category():
    def draw(left, right):
        left.set_title("Left")
        left.errorbar([0, 1], [5.0, 6.0], yerr=[[1, 2], [3, 4]], color="#0072B2", fmt="o")
        left.set_xticks([0, 1], ["low", "high"])
        left.axhline(3)  # a guide
        right.errorbar([7.0], [0], xerr=[[1], [2]], fmt="o", label="b_v")
        right.figure.legend(handles=[plt.Line2D([], [], color="#0072B2", label="b_q")])

    rows = numbers(draw).to_dict("records")
    assert [(r["panel"], r["series"], r["x"], r["y"], r["low"], r["high"]) for r in rows] == [
        ("Left", "b_q", "low", 5.0, 4.0, 8.0),
        ("Left", "b_q", "high", 6.0, 4.0, 10.0),
        ("panel 2", "b_v", 7.0, 0.0, 6.0, 9.0),
    ]


def test_a_line_a_bar_a_cloud_and_a_heat_map_are_read():
    def draw(left, right):
        left.plot([0, 1], [2, 3], label="line")
        left.bar([4], [5])
        left.scatter([6], [7])
        right.pcolormesh(np.array([[0.5, 0.25]]))
        right.set_yticks([0.5], ["b_q"])

    frame = numbers(draw)
    places = {(r.x, r.y) for r in frame[frame.panel == "panel 1"].itertuples()}
    assert places == {(0, 2), (1, 3), (4, 5), (6, 7)}
    assert frame[frame.panel == "panel 2"][["x", "y", "value"]].to_numpy().tolist() == [
        [0.5, "b_q", 0.5],
        [1.5, "b_q", 0.25],
    ]
