"""The paper's own table, for a reader who lays ours beside it.

Rule: figures of arXiv 2507.13348v1, Tables 1, 2 and 7, in the paper's units (percent, and points of MME), put right
where the paper contradicts itself; what was put right, and what other people measured of the same weights, is said
beside them. Ours are written in the same units, or not at all.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from visionthink.core.gate import ContenderRole
from visionthink.report.record import BenchmarkFigures, ContenderFigures

TITLES: Final[Mapping[str, str]] = {
    "chartqa": "ChartQA",
    "ocrbench": "OCRBench",
    "docvqa": "DocVQA",
    "mme": "MME",
    "mmvet": "MM-Vet",
    "realworldqa": "RealWorldQA",
    "pope": "POPE",
    "mathvista": "MathVista",
    "mathverse": "MathVerse",
    "mmbench": "MMBench",
    "mmmu": "MMMU",
    "mmmu_pro": "MMMU-Pro",
    "vstar": "V*",
}
"""By the name that settings have for it; in the order of the paper's table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table."""

    label: str
    visual_tokens: str
    """Share of those of the full view, in percent."""
    scores: Mapping[str, float]
    """By name of the benchmark."""
    role: ContenderRole | None = None
    """Which contender of ours was asked in the same way."""
    is_ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Our figures among the published ones."""

    benchmarks: tuple[str, ...]
    """Those that were run and are published, by name."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())
    """What has to be known to read it right."""

    @property
    def titles(self) -> tuple[str, ...]:
        """What the columns are called."""
        return tuple(TITLES[name] for name in self.benchmarks)


def compared_with_paper(benchmarks: Sequence[BenchmarkFigures]) -> Comparison | None:
    """The paper's lines, each followed by ours that is asked alike; None where no published benchmark was run."""
    by_name = {one.name: one for one in benchmarks}
    shown = tuple(name for name in TITLES if name in by_name)
    if not shown:
        return None
    ours = _ours([by_name[name] for name in shown])
    rows: list[Row] = []
    for row in PUBLISHED:
        if any(name in row.scores for name in shown):
            rows += [row, *(own for own in ours if own.role is row.role is not None)]
    rows += [own for own in ours if own not in rows]
    return Comparison(benchmarks=shown, rows=tuple(rows), notes=_notes(shown))


def paper_score(benchmark: BenchmarkFigures, contender: ContenderFigures) -> float | None:
    """Our figure in the paper's unit; None where it was not computed."""
    official = benchmark.official.get(contender.name, {})
    match benchmark.name:
        case "mme":
            return official.get("total")
        case "pope":
            return 100 * official["f1"] if "f1" in official else None
        case _:
            return 100 * contender.accuracy.value


def score_text(benchmark: str, score: float | None) -> str:
    """A figure as the paper writes it."""
    return "-" if score is None else f"{score:,.0f}" if benchmark == "mme" else f"{score:.1f}"


def _ours(benchmarks: Sequence[BenchmarkFigures]) -> list[Row]:
    """A line for each contender, over all benchmarks that it was asked on."""
    scores: dict[str, dict[str, float]] = {}
    tokens: dict[str, list[float]] = {}
    by_name: dict[str, ContenderFigures] = {}
    for benchmark in benchmarks:
        for contender in benchmark.contenders:
            by_name.setdefault(contender.name, contender)
            score = paper_score(benchmark, contender)
            if score is not None:
                scores.setdefault(contender.name, {})[benchmark.name] = score
            if contender.visual_token_ratio is not None:
                tokens.setdefault(contender.name, []).append(contender.visual_token_ratio)
    return [
        Row(
            label=contender.label,
            visual_tokens=f"{100 * sum(tokens[name]) / len(tokens[name]):.1f}" if name in tokens else "-",
            scores=scores.get(name, {}),
            role=contender.role,
            is_ours=True,
        )
        for name, contender in by_name.items()
    ]


def _notes(shown: Collection[str]) -> tuple[str, ...]:
    return tuple(text for names, text in _NOTES if not names or names & set(shown))


_COLUMNS: Final = ("chartqa", "ocrbench", "docvqa", "mme", "mmvet", "realworldqa", "pope", "mathvista", "mathverse")


def _row(
    label: str,
    visual_tokens: str,
    *scores: float | None,
    role: ContenderRole | None = None,
    more: Mapping[str, float] | None = None,
) -> Row:
    pairs = zip(_COLUMNS, scores, strict=True)
    known = {name: score for name, score in pairs if score is not None} | dict(more or {})
    return Row(label=label, visual_tokens=visual_tokens, scores=known, role=role)


PUBLISHED: Final = (
    _row(
        "Qwen2.5-VL-7B, full view",
        "100",
        *(79.8, 81.5, 95.1, 2316, 61.6, 68.6, 86.7, 68.2, 46.3),
        role=ContenderRole.FULL_VIEW,
        more={"mmbench": 82.6, "mmmu": 50.3, "mmmu_pro": 37.7},
    ),
    _row(
        "Qwen2.5-VL-7B, quarter view",
        "25",
        *(62.9, 68.8, 94.3, 2270, 54.5, 68.8, 82.8, 62.2, 43.1),
        role=ContenderRole.QUARTER_VIEW,
    ),
    _row("FastV", "50", 72.6, 75.8, 93.6, 2308, 52.8, 68.8, 84.7, 63.7, 45.0),
    _row("SparseVLM", "50", 73.2, 75.6, 66.8, 2282, 51.5, 68.4, 85.5, 66.6, 45.1),
    _row("VisionZip", "50", 73.4, 70.5, 93.8, 2209, 57.0, 68.6, 86.3, 63.7, 45.1),
    _row("FastV", "70", 77.2, 82.2, 94.4, 2342, 56.0, 68.6, 85.9, 65.9, 46.9),
    _row("SparseVLM", "70", 75.8, 79.3, 68.7, 2276, 53.7, 68.5, 85.4, 66.3, 45.1),
    _row("VisionZip", "70", 76.8, 80.9, 94.5, 2334, 60.0, 68.2, 86.4, 68.9, 45.8),
    _row(
        "VisionThink, as published",
        "51.3",
        *(79.8, 80.8, 94.4, 2400, 67.1, 68.5, 86.0, 67.5, 48.0),
        role=ContenderRole.CANDIDATE,
        more={"mmbench": 80.0, "mmmu": 51.2, "mmmu_pro": 38.9},
    ),
    _row(
        "its released weights, measured by AwaRes",
        "61",
        *(79.9, 80.1, 90.35, None, None, 66.6, 86.7, None, None),
        more={"vstar": 71.73},
    ),
    _row(
        "its released weights, measured by AdaptVision",
        "99",
        *(73.88, 80.8, 93.7, 2392, 60.18, 68.37, 86.69, 65.7, 45.68),
    ),
    _row("its released code, trained by AdaptVision", "52", 73.6, 76.8, 92.9, 2320, 61.7, 65.6, 86.3, 62.2, 42.5),
)
"""VisionThink's MM-Vet and RealWorldQA are those of Table 1; see the note."""

_NOTES: Final[tuple[tuple[frozenset[str], str], ...]] = (
    (
        frozenset(),
        "The published lines are of models with 7 billion parameters, at temperature 0. Ours stand in the same units; "
        "they can be held against those lines only where the model and the pictures are the same.",
    ),
    (
        frozenset(),
        "51.3 % is the paper's share of visual tokens over nine benchmarks. How it is averaged is not said, and the "
        "six call rates that the paper prints come to 61 %. The released weights were measured at 61 % (AwaRes, arXiv "
        "2603.16932, six benchmarks) and at 99 % (AdaptVision, arXiv 2512.03794), for reasons that nobody has told.",
    ),
    (
        frozenset({"mmvet", "realworldqa"}),
        "MM-Vet 67.1 and RealWorldQA 68.5 of VisionThink are those of the paper's Table 1 and of its text. Its Tables "
        "2, 7 and 9 print the two the other way round; other people's runs of the weights give RealWorldQA 68.4 to "
        "68.5.",
    ),
    (
        frozenset({"chartqa"}),
        "The paper's ChartQA was graded by GPT-4o and looked through by people; ours is the benchmark's own match "
        "within 5 %.",
    ),
    (
        frozenset({"mathvista", "mathverse", "mmvet"}),
        "MathVista, MathVerse and MM-Vet are graded by a language model, and differ from run to run and from judge to "
        "judge.",
    ),
    (frozenset({"pope"}), "POPE is F1 of “yes”, and MME the sum of perception and cognition, as in the paper."),
)
"""By benchmarks that they are about; none is all."""
