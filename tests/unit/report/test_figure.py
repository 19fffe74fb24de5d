import dataclasses
import math
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.report_input import benchmarks, champion, contenders, curves, families, report_input

from visionthink import metrics
from visionthink.core.gate import ContenderRole
from visionthink.report import DARK, LIGHT, Confusion, ContenderFigures, Curve, Interval, Theme
from visionthink.report.benchmark_figure import benchmark_figure
from visionthink.report.confusion_figure import confusion_figure
from visionthink.report.family_figure import MAX_FAMILIES, family_figure, grouped, num_hidden
from visionthink.report.learning_figure import learning_figure, running_mean, spread
from visionthink.report.pareto_figure import pareto_figure
from visionthink.report.theme import markers, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

SHARES = st.floats(0, 1)


def texts(figure: "Figure") -> "list[Text]":
    """Every text that a reader sees."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    found = figure.findobj(match=lambda artist: isinstance(artist, Text) and artist.get_visible())
    return [text for text in found if isinstance(text, Text) and text.get_text().strip()]


def assert_all_text_is_inside(figure: "Figure") -> None:
    shown = texts(figure)
    # A tick beyond the end of its axis has a label too, which is never drawn.
    ticks = {id(text) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for text in axis.get_ticklabels()}
    for text in shown:
        if id(text) in ticks:
            continue
        box, frame = text.get_window_extent(), figure.bbox
        assert box.x0 >= -1 and box.y0 >= -1, text.get_text()
        assert box.x1 <= frame.x1 + 1 and box.y1 <= frame.y1 + 1, text.get_text()


def luminance(color: str) -> float:
    parts = [byte / 255 for byte in bytes.fromhex(color[1:])]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_theme_colors_can_be_read(theme: Theme) -> None:
    for name, want in {"text": 7, "muted": 4.5, "blue": 3, "orange": 3, "green": 3, "purple": 3}.items():
        pair = sorted([luminance(getattr(theme, name)), luminance(theme.background)])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= want, name


# --- Pareto ---


def test_pareto_names_every_contender_and_its_numbers() -> None:
    shown = " ".join(text.get_text() for text in texts(pareto_figure((*contenders(), champion()), LIGHT)))
    for figures in (*contenders(), champion()):
        assert f"{figures.label}\n{figures.accuracy.value:.1%} · {figures.visual_tokens.value:.1f} tokens" in shown
    assert "view chosen by lot" in shown


def test_pareto_has_no_line_without_its_two_ends() -> None:
    only = [figures for figures in contenders() if figures.role is not ContenderRole.QUARTER_VIEW]
    assert "view chosen by lot" not in [text.get_text() for text in texts(pareto_figure(only, LIGHT))]


def moved(figures: ContenderFigures, accuracy: float, tokens: float) -> ContenderFigures:
    return dataclasses.replace(
        figures,
        accuracy=Interval(value=accuracy, low=max(0.0, accuracy - 0.02), high=min(1.0, accuracy + 0.02)),
        visual_tokens=Interval(value=tokens, low=tokens - 0.3, high=tokens + 0.3),
    )


@pytest.mark.parametrize(
    "points",
    [
        pytest.param([(0.68, 4.0), (0.98, 16.0), (0.83, 11.8), (0.976, 9.4)], id="a good run"),
        pytest.param([(0.68, 4.0), (0.98, 16.0), (0.97, 9.8), (0.976, 9.4)], id="base and trained alike"),
        pytest.param([(0.3, 666.0), (0.9, 2691.0), (0.6, 1700.0), (0.88, 1380.0)], id="a real model"),
        pytest.param([(0.68, 4.0), (0.98, 16.0), (0.97, 20.0), (0.98, 20.0)], id="collapsed to always asking"),
        pytest.param([(0.68, 4.0), (0.98, 16.0), (0.8, 10.0), (0.68, 4.0)], id="collapsed to never asking"),
    ],
)
def test_pareto_labels_stand_apart_and_inside(points: list[tuple[float, float]]) -> None:
    given = [moved(figures, *point) for figures, point in zip(contenders(), points, strict=True)]
    figure = pareto_figure(given, LIGHT)
    assert_all_text_is_inside(figure)
    labels = [text for text in texts(figure) if "tokens\n" not in text.get_text() and " tokens" in text.get_text()]
    assert len([text for text in labels if "·" in text.get_text()]) == 4
    boxes = [text.get_window_extent() for text in labels]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_pareto_takes_an_interval_that_does_not_hold_its_mean() -> None:
    odd = dataclasses.replace(contenders()[0], accuracy=Interval(value=0.5, low=0.51, high=0.49))
    assert png(pareto_figure([odd], LIGHT))


# --- learning ---


def test_learning_figure_names_each_line_where_it_ends() -> None:
    figure = learning_figure(curves(), LIGHT)
    assert_all_text_is_inside(figure)
    shown = [text.get_text() for text in texts(figure)]
    assert {"needed", "not needed", "accuracy", "format", "penalty", "KL", "entropy", "learnt from"} <= set(shown)


def test_learning_figure_says_the_unit_of_every_panel() -> None:
    for axes in learning_figure(curves(), LIGHT).axes:
        assert axes.get_ylabel() and axes.get_xlabel() == "training step" and axes.get_title(loc="left")


def test_learning_figure_leaves_out_panels_without_data() -> None:
    figure = learning_figure([Curve(key=metrics.POLICY_KL.key(), points=((0, 0.1), (1, 0.2)))], LIGHT)
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()] == [
        "Distance from the base model"
    ]


@pytest.mark.parametrize(
    "points",
    [
        ((0, 1.0),),
        ((3, float("nan")),),
        ((0, float("nan")), (1, 2.0)),
        ((0, 0.0), (1, 0.0)),
        ((0, float("inf")), (5, 1.0)),
    ],
)
def test_learning_figure_takes_what_a_broken_run_left(points: tuple[tuple[int, float], ...]) -> None:
    for key in (metrics.POLICY_KL.key(), metrics.RESIZE_RATE.key(), metrics.GROUP_NUM_KEPT.key()):
        assert png(learning_figure([Curve(key=key, points=points)], LIGHT))


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=300))
def test_running_mean_stays_between_the_extremes(values: list[float]) -> None:
    smooth = running_mean(np.array(values))
    assert smooth.shape == (len(values),)
    assert smooth.min() >= min(values) - 1e-6 and smooth.max() <= max(values) + 1e-6


def test_running_mean_passes_over_what_is_no_number() -> None:
    got = running_mean(np.array([1.0, math.nan, 1.0, 1.0]))
    assert got.tolist() == [1.0, 1.0, 1.0, 1.0]
    assert math.isnan(running_mean(np.array([math.nan]))[0])


@given(st.lists(st.floats(0, 10), min_size=1, max_size=6), st.floats(0.01, 1.6))
def test_spread_keeps_order_distance_and_bounds(heights: list[float], gap: float) -> None:
    got = spread(heights, gap=gap, low=0, high=10)
    placed = [height for _, height in sorted(zip(heights, got, strict=True))]
    assert all(above - below >= gap - 1e-9 for below, above in pairwise(sorted(placed)))
    assert placed == sorted(placed)
    if gap * (len(heights) - 1) <= 10:
        assert min(got) >= -1e-9 and max(got) <= 10 + 1e-9


def test_spread_leaves_alone_what_stands_apart() -> None:
    assert spread([5.0, 1.0, 9.0], gap=1, low=0, high=10) == [5.0, 1.0, 9.0]


# --- confusion and families ---


def test_confusion_matrix_has_needed_first_and_asked_left() -> None:
    confusion = Confusion(needed_asked=1, needed_answered=2, not_needed_asked=3, not_needed_answered=4)
    assert confusion.matrix == [[1, 2], [3, 4]]
    shown = [text.get_text() for text in texts(confusion_figure(confusion, LIGHT))]
    assert {"33.3%", "66.7%", "42.9%", "57.1%", "1 of 3", "4 of 7"} <= set(shown)


def test_confusion_figure_takes_a_row_without_samples() -> None:
    confusion = Confusion(needed_asked=0, needed_answered=0, not_needed_asked=0, not_needed_answered=5)
    assert [text.get_text() for text in texts(confusion_figure(confusion, DARK))].count("none") == 2


def test_families_stand_under_their_need_with_the_unseen_last() -> None:
    got = [(heading, [figures.family for figures in members]) for heading, members in grouped(families(), contenders())]
    assert got == [
        ("needs the full view", ["axis label", "code", "serial", "small text", "plate"]),
        ("quarter view is enough", ["colour", "count", "position", "shape", "size"]),
    ]


def test_family_figure_names_families_and_flags_the_unseen() -> None:
    figure = family_figure(families(), contenders(), LIGHT)
    assert_all_text_is_inside(figure)
    shown = {text.get_text() for text in texts(figure)}
    assert {"code", "plate (not trained on)", "needs the full view", "trained model"} <= shown


def test_family_figure_takes_the_candidate_alone() -> None:
    alone = [figures for figures in families() if figures.contender == "trained"]
    shown = {text.get_text() for text in texts(family_figure(alone, contenders(), LIGHT))}
    assert "base model" not in shown and "code" in shown


def test_family_figure_of_thousands_of_families_fits_on_a_page() -> None:
    one = next(figures for figures in families() if figures.contender == "trained")
    many = [dataclasses.replace(one, family=f"family {n}", num_samples=n) for n in range(3000)]
    ((_, members),) = grouped(many, contenders())
    assert {figures.num_samples for figures in members} == set(range(3000 - MAX_FAMILIES, 3000))
    assert num_hidden(many, contenders()) == 3000 - MAX_FAMILIES
    assert family_figure(many, contenders(), LIGHT).get_figheight() < 25


def test_every_contender_has_a_shape_of_its_own() -> None:
    others = [
        dataclasses.replace(champion(), name=f"other {n}", role=role)
        for n in range(4)
        for role in (ContenderRole.OTHER, ContenderRole.INCUMBENT)[n % 2 :]
    ]
    shapes = markers((*contenders(), *others))
    assert [shapes[one.name] for one in contenders()] == ["v", "^", "s", "o"]
    assert len(set(shapes.values())) == len(shapes)


def test_report_input_of_the_tests_is_complete() -> None:
    report = report_input()
    assert all(getattr(report, field.name) for field in dataclasses.fields(report))


@pytest.mark.parametrize("count", [1, 4])
def test_benchmark_figure_names_every_benchmark_and_contender(count: int) -> None:
    figure = benchmark_figure(benchmarks()[:count], LIGHT)
    shown = [text.get_text() for text in texts(figure)]
    assert {"ChartQA", "MME", "POPE", "picture world"} & set(shown) == set(
        ["ChartQA", "MME", "POPE", "picture world"][:count]
    )
    assert shown.count("trained model") == count and "78.1%" in shown
    assert_all_text_is_inside(figure)


@pytest.mark.parametrize("before", [0.0, 0.03, 0.07, 0.1, 0.13, 0.5])
def test_family_figure_writes_no_number_below_a_mark(before: float) -> None:
    """The base model asks a little more often than the trained one, whose bar is empty."""
    among = {ContenderRole.BASE: before, ContenderRole.CANDIDATE: 0.0}
    roles = {one.name: one.role for one in contenders()}
    found = [
        dataclasses.replace(one, resize_rate=among.get(roles[one.contender], 0.0))
        for one in families()
        if one.family == "colour"
    ]
    figure = family_figure(found, contenders(), LIGHT)
    figure.draw_without_rendering()
    asks = figure.axes[0]
    (number,) = [text.get_window_extent() for text in asks.texts if text.get_text() == "0%"]
    (mark,) = [line for line in asks.lines if line.get_color() == LIGHT.color(ContenderRole.BASE)]
    x = asks.transData.transform((before, 0))[0]
    half = mark.get_markersize() / 72 * figure.dpi / 2
    assert number.x1 < x - half or number.x0 > x + half
