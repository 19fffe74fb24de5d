"""The report as one HTML file.

Rule: the file needs nothing beside it: no script, no font, no picture that is not inside. It reads well on a light and
a dark screen, on paper, and in the frame in which Kubeflow shows HTML. All text is escaped by the template engine.
"""

import base64
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING

from visionthink.report.benchmark_figure import benchmark_figure, benchmark_title
from visionthink.report.confusion_figure import confusion_figure
from visionthink.report.family_figure import family_figure, grouped, num_hidden
from visionthink.report.headline import headline, tiles, tokens_text
from visionthink.report.learning_figure import learning_figure
from visionthink.report.pareto_figure import pareto_figure
from visionthink.report.published import compared_with_paper, score_text
from visionthink.report.record import BenchmarkFigures, ReportInput
from visionthink.report.theme import DARK, LIGHT, Theme, png

if TYPE_CHECKING:
    from jinja2 import Template
    from matplotlib.figure import Figure

_TEMPLATE = "page.html.jinja"


def render_figures(report: ReportInput, theme: Theme = LIGHT) -> dict[str, bytes]:
    """Return the figures that the report has data for: file name (`pareto.png`) -> PNG."""
    painters: dict[str, Callable[[], Figure]] = {}
    if report.contenders:
        painters["pareto.png"] = lambda: pareto_figure(report.contenders, theme)
    if len(report.benchmarks) > 1:
        painters["benchmarks.png"] = lambda: benchmark_figure(report.benchmarks, theme)
        painters |= {
            f"pareto-{number}.png": partial(pareto_figure, one.contenders, theme)
            for number, one in enumerate(report.benchmarks, start=1)
            if one.contenders
        }
    if report.confusion is not None:
        confusion = report.confusion
        painters["confusion.png"] = lambda: confusion_figure(confusion, theme)
    if grouped(report.families, report.contenders):
        painters["families.png"] = lambda: family_figure(report.families, report.contenders, theme)
    if any(curve.points for curve in report.curves):
        painters["learning.png"] = lambda: learning_figure(report.curves, theme)
    return {name: png(paint()) for name, paint in painters.items()}


def render_report(report: ReportInput) -> str:
    """Return the whole page."""
    light, dark = render_figures(report, LIGHT), render_figures(report, DARK)
    return _template().render(
        report=report,
        headline=headline(report.contenders),
        tiles=tiles(report.contenders),
        family_groups=grouped(report.families, report.contenders),
        num_hidden_families=num_hidden(report.families, report.contenders),
        figures=_as_urls(light),
        dark_figures=_as_urls(dark),
        data_url=data_url,
        paper=compared_with_paper(report.benchmarks),
        score_text=score_text,
        longest_s=max((seconds for stage, seconds in report.seconds.items() if stage != "total"), default=0.0),
    )


def data_url(data: bytes, media_type: str = "image/png") -> str:
    """Return a picture as a URL that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _as_urls(figures: Mapping[str, bytes]) -> dict[str, str]:
    return {name.removesuffix(".png"): data_url(data) for name, data in figures.items()}


@cache
def _template() -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("visionthink.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "tokens": tokens_text,
        "seconds": _seconds,
        "points": _points,
        "p_value": _p_value,
        "number": _number,
        "official_names": official_names,
        "title_of": benchmark_title,
    }
    return environment.get_template(_TEMPLATE)


def official_names(benchmark: BenchmarkFigures) -> list[str]:
    """The figures under which a benchmark is published, in the order in which they are told."""
    return list(dict.fromkeys(name for figures in benchmark.official.values() for name in figures))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _points(difference: float | None) -> str:
    """A difference of two shares in points of a hundred, its sign written out."""
    if difference is None:
        return "-"
    text = f"{100 * difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")  # noqa: RUF001


def _p_value(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3f}"
