import dataclasses
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from tests.fakes.report_input import benchmarks, champion, example, report_input

from visionthink.core.gate import ContenderRole
from visionthink.report import DARK, LIGHT, ReportInput, ShownTurn, render_figures, render_report

if TYPE_CHECKING:
    from tests.conftest import Golden

VOID = {"meta", "img", "source", "br"}


class Page(HTMLParser):
    """Reads a page as a browser would, and fails on tags that do not close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open_tags: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.feed(html)
        self.close()
        assert self.open_tags == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open_tags and self.open_tags[-1] in {"h1", "h2"}:
            self.headings.append(data)


@pytest.fixture(scope="module")
def html() -> str:
    return render_report(report_input())


def test_page_is_well_formed_and_has_every_section(html: str) -> None:
    assert Page(html).headings == [
        "Embedded picture world, seed 0",
        "What it costs to be right",
        "When it asks",
        "How it learnt",
        "What it saw and said",
        "How it was made",
    ]


def test_page_needs_nothing_beside_it(html: str) -> None:
    for tag, attributes in Page(html).attributes:
        assert tag not in {"script", "link", "iframe", "object"}
        for name in ("src", "srcset", "href"):
            assert (attributes.get(name) or "data:").startswith("data:"), attributes
    assert "url(" not in html and "@import" not in html


def test_page_describes_every_picture_in_words(html: str) -> None:
    pictures = [attributes for tag, attributes in Page(html).attributes if tag == "img"]
    assert len(pictures) == 4 + 5
    assert all(attributes["alt"] for attributes in pictures)


def test_page_has_each_figure_for_light_and_dark(html: str) -> None:
    dark = [attributes for tag, attributes in Page(html).attributes if tag == "source"]
    light = [attributes for tag, attributes in Page(html).attributes if tag == "img"][:4]
    assert len(dark) == 4
    assert {entry["srcset"] for entry in dark}.isdisjoint({entry["src"] for entry in light})
    assert all("prefers-color-scheme: dark" in str(entry["media"]) for entry in dark)


def test_page_is_small_enough_to_mail(html: str) -> None:
    assert len(html) < 1_000_000


def test_page_escapes_what_a_data_set_or_model_wrote() -> None:
    evil = "</p><script>alert(1)</script>"
    shown = dataclasses.replace(
        example(asks=False), question=evil, got=evil, family=evil, turns=(ShownTurn(speaker="assistant", text=evil),)
    )
    report = ReportInput(title=evil, subtitle=evil, examples=(shown,), config={evil: evil})
    html = render_report(report)
    assert "<script" not in html
    Page(html)


@pytest.mark.parametrize("report", [ReportInput(title="empty"), ReportInput(title="x", seconds={"total": 0.0})])
def test_page_without_data_is_a_page(report: ReportInput) -> None:
    assert Page(render_report(report)).headings[0] == report.title
    assert render_figures(report) == {}


Change = Callable[[ReportInput], ReportInput]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda report: dataclasses.replace(report, contenders=report.contenders[:1]), id="one contender"),
        pytest.param(
            lambda report: dataclasses.replace(
                report,
                contenders=tuple(one for one in report.contenders if one.role is not ContenderRole.CANDIDATE),
            ),
            id="no candidate",
        ),
        pytest.param(
            lambda report: dataclasses.replace(
                report,
                contenders=tuple(
                    dataclasses.replace(
                        one,
                        resize_rate_needed=None,
                        resize_rate_not_needed=None,
                        latency_s=None,
                        latency_p50_s=None,
                        latency_p95_s=None,
                        reply_tokens=None,
                        regret=None,
                        visual_token_ratio=None,
                        paired=None,
                    )
                    for one in report.contenders
                ),
                families=tuple(dataclasses.replace(family, needs_high_res=None) for family in report.families),
                confusion=None,
            ),
            id="nobody knows what is needed",
        ),
    ],
)
def test_page_shows_what_there_is(change: Change) -> None:
    html = render_report(change(dataclasses.replace(report_input(), curves=())))
    Page(html)
    assert "nan" not in html.split("<main>")[1].split("data:")[0] and "None" not in re.sub(r"data:[^\"]+", "", html)


def test_page_tells_time_length_choice_and_pairs(html: str) -> None:
    told = " ".join(re.sub(r"<[^>]+>", " ", html.split("<main>")[1]).split())
    assert "trained model 97.6% 96.7–98.5 9.4 58.5% 33.5% 98.3% 1.1% 1,200" in told  # noqa: RUF001
    assert "trained model 0.015 0.020 18.0 96.6% 98.0% +0.8" in told
    assert "base model +14.7 183 7 1,010 &lt; 0.001" in told
    assert "full view always −0.5 1 7 1,192 0.210" in told  # noqa: RUF001
    assert "Beside the paper" not in told and "By benchmark" not in told


def test_page_of_several_benchmarks_has_bars_tables_and_the_papers_own() -> None:
    pope = dataclasses.replace(benchmarks()[2], contenders=(*benchmarks()[2].contenders, champion()))
    report = ReportInput(title="x", benchmarks=(*benchmarks()[:2], pope, benchmarks()[3]))
    page = Page(html := render_report(report))
    assert page.headings == ["x", "By benchmark", "Beside the paper", "ChartQA", "MME", "POPE", "picture world"]
    told = " ".join(re.sub(r"<[^>]+>", " ", html.split("<main>")[1]).split())
    assert "visual tokens, % of full ChartQA MME POPE Qwen2.5-VL-7B, full view 100 79.8 2,316 86.7" in told
    assert "ours: full view always 100.0 79.8 2,316 86.7" in told
    assert "VisionThink, as published 51.3 79.8 2,400 86.0 ours: trained model 58.5 78.1 2,307 86.0" in told
    assert "3 more questions of the model in use stand in no figure" in told
    assert "augmented human quarter view only 0.7 0.55" in told
    assert "51.3 % is the paper's share" in html_text(told) and "looked through by people" in told
    assert list(render_figures(report)) == ["benchmarks.png", *(f"pareto-{number}.png" for number in range(1, 5))]


def html_text(text: str) -> str:
    return text.replace("&#39;", "'")


def test_page_names_what_failed_and_why() -> None:
    report = dataclasses.replace(report_input(), contenders=(*report_input().contenders, champion()))
    told = " ".join(re.sub(r"<[^>]+>", "", render_report(report)).split())
    assert (
        "3 more questions of the model in use stand in no figure, because engine or judge failed: "
        "connection refused (2), the judge gave no grade (1)."
    ) in told
    assert "The model in use (version 3) is the one that is judged here." in told


@pytest.mark.parametrize(("score", "want"), [(1.0, "✓ correct"), (0.0, "✗ wrong"), (0.4, "40.0% correct")])
def test_page_tells_partial_credit_as_it_is(score: float, want: str) -> None:
    html = render_report(ReportInput(title="x", examples=(dataclasses.replace(example(asks=False), score=score),)))
    assert want in html and ("true answer" in html) == (score < 1)


def test_figures_are_pictures_of_both_kinds() -> None:
    for theme in (LIGHT, DARK):
        figures = render_figures(report_input(), theme)
        assert list(figures) == ["pareto.png", "confusion.png", "families.png", "learning.png"]
        for data in figures.values():
            picture = Image.open(io.BytesIO(data)).convert("RGB")
            assert min(picture.size) > 400
            assert picture.getpixel((2, 2)) == tuple(bytes.fromhex(theme.background[1:]))
            assert len(picture.getcolors(1 << 20) or []) > 20


def test_figures_are_the_same_bytes_each_time() -> None:
    report = dataclasses.replace(report_input(), curves=(), families=())
    assert render_figures(report) == render_figures(report)


def test_page_reads_as_reviewed(html: str, golden: "Golden") -> None:
    golden("report/page.html", re.sub(r"data:image/png;base64,[\w+/=]+", "data:...", html))
