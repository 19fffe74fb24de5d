"""What an evaluation left is read back as it was shown, and laid side by side by `visionthink report`."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.evaluation.answers import CONTENDERS, answer, contender

from visionthink.cli.app import run_command
from visionthink.core.pruning import Pruning
from visionthink.errors import DataError
from visionthink.evaluation.benchmarks.benchmark import Benchmark
from visionthink.evaluation.benchmarks.public import PUBLIC
from visionthink.evaluation.benchmarks.samples import PICTURE_WORLD
from visionthink.evaluation.incumbent import Incumbent
from visionthink.evaluation.interval import Bootstrap
from visionthink.evaluation.kept_figures import kept_figures
from visionthink.evaluation.latency import Latency
from visionthink.evaluation.outcome import Evaluation, Measured, evaluation_of
from visionthink.runs import RunFolder

PRUNED = replace(
    contender("always_high+fastv@0.5"),
    pruning=Pruning(method="fastv", retained_ratio=0.5, layers=(1,)),
)
LATENCY = Latency(by_family={"code": (0.1, 0.2, 0.6)}, headline=("code",))


def evaluated(benchmark: Benchmark, folder: RunFolder | None = None) -> Evaluation:
    """Four contenders of which each is right a little more often than the one before."""
    measured = [
        Measured(
            contender=one,
            answers=[
                replace(answer(str(n), correct=n < 4 + 2 * place, asked=n % 2 > 0 and place > 1), got="yes", want="yes")
                for n in range(10)
            ]
            + [answer("lost", failed=True)],
            held_out=(),
            latency=LATENCY,
        )
        for place, one in enumerate((*CONTENDERS, PRUNED))
    ]
    found = evaluation_of(
        measured,
        benchmark=benchmark,
        bootstrap=Bootstrap(num_bootstraps=50, seed=0),
        incumbent=Incumbent(state="none"),
    )
    if folder is not None:
        folder.keep_result("evaluate", found.to_result())
    return found


def test_figures_are_read_back_as_they_were(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "one")
    found = evaluated(PUBLIC["pope"], folder)
    kept = kept_figures(folder)
    assert kept.contenders == found.contenders and kept.contenders[-1].drops_tokens
    assert kept.official == found.official and kept.official["trained"]["f1"] == 1.0
    assert (kept.name, kept.origin) == ("pope", "run one")


def test_figures_compare_each_with_the_others() -> None:
    low, high, base, trained, _ = evaluated(PICTURE_WORLD).contenders
    assert (low.visual_token_ratio, trained.visual_token_ratio) == (1.0, 3.0)
    assert (low.regret, high.regret, trained.regret) == pytest.approx((0.2, 0.0, -0.4))
    assert trained.paired is None
    assert base.paired is not None and (base.paired.won, base.paired.lost, base.paired.num_samples) == (2, 0, 10)
    assert base.paired.difference == pytest.approx(0.2) and base.paired.p_value == pytest.approx(0.5)
    assert (low.accuracy_asked, low.accuracy_direct) == (None, 0.4)
    assert (base.accuracy_asked, base.accuracy_direct) == (0.8, 0.8)
    assert (low.reply_tokens, base.reply_tokens) == (12.0, 21.0)
    assert (trained.latency_p50_s, trained.latency_p95_s) == pytest.approx((0.2, 0.56))


@pytest.mark.parametrize("without", ["rows", "paired", "benchmark"])
def test_a_result_of_another_version_is_refused(tmp_path: Path, without: str) -> None:
    folder = RunFolder(tmp_path / "one")
    result = evaluated(PICTURE_WORLD).to_result()
    facts = {key: value for key, value in result.facts.items() if key != without}
    folder.keep_result("evaluate", replace(result, facts=facts))
    with pytest.raises(DataError, match="another version"):
        kept_figures(folder)


def test_runs_are_laid_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, benchmark in (("a", PUBLIC["pope"]), ("b", PUBLIC["chartqa"]), ("c", PUBLIC["pope"])):
        evaluated(benchmark, RunFolder(tmp_path / name))
    out = tmp_path / "page.html"
    assert run_command(["report", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out)]) == 0
    page = out.read_text()
    assert "<h2>By benchmark</h2>" in page and "<h2>Beside the paper</h2>" in page
    assert page.index("<h2>POPE</h2>") < page.index("<h2>ChartQA</h2>")
    assert "run a · run b" in page and "1 more question of the" in page
    assert "layers, since the model drops tokens" in page
    assert run_command(["report", str(tmp_path / "a"), "--out", str(out)]) == 0
    assert "Evaluation: pope" in out.read_text()
    capsys.readouterr()
    assert run_command(["report", str(tmp_path / "a"), str(tmp_path / "c"), "--out", str(out)]) == 2
    assert "several of these runs were evaluated on pope" in capsys.readouterr().err
    assert run_command(["report", str(tmp_path / "none"), "--out", str(out)]) == 2
