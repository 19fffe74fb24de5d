import io
import json
from pathlib import Path

import pytest
from PIL import Image
from tests.fakes.seeing import seeing_engine
from tests.fakes.stage_task import TaskMaker, task_maker
from tests.fakes.stern_judge import SternJudge

from visionthink.core.first_look import CallForecast
from visionthink.core.geometry import Size
from visionthink.core.sample import Sample
from visionthink.datasets import source
from visionthink.datasets.parquet import read_samples, write_samples
from visionthink.engines import ScriptedEngine
from visionthink.episodes import opening
from visionthink.errors import DataError
from visionthink.labeling.stage import label_with
from visionthink.picture import decode
from visionthink.samples import samples_to_label


@pytest.fixture
def maker(tmp_path: Path) -> TaskMaker:
    return task_maker(tmp_path / "run-1")


def samples_of(maker: TaskMaker) -> list[Sample]:
    return list(samples_to_label(maker.config))


def test_label_stage_writes_the_labels_in_place_of_the_truth(maker: TaskMaker) -> None:
    samples = samples_of(maker)
    # A model that never reads letters: every question needs nothing or gets no label.
    blind = ScriptedEngine(lambda request: f"<answer>{samples[0].answer}</answer>")
    label_with(blind, maker.task("label"))
    kept = list(read_samples(maker.folder.dataset_path))
    assert kept and all(sample.needs_high_res is False for sample in kept)
    assert {sample.answer for sample in kept} == {samples[0].answer}


def test_label_stage_tells_figures_and_files(maker: TaskMaker) -> None:
    result = label_with(seeing_engine(samples_of(maker)), maker.task("label"))
    assert result.metrics["label/num_samples"] == 12
    assert result.metrics["label/agreement_ratio"] == 1.0
    assert result.facts["label_agreement"] == 1.0
    assert result.facts["counts"] == {"color": {"not_needed": 6}, "mark": {"needed": 6}}
    assert maker.recorded("label").finals == result.metrics
    assert set(maker.recorded("label").artifacts) == {"labels.jsonl", "dataset.parquet"}
    lines = result.artifacts["labels"].read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [sample.id for sample in samples_of(maker)]


def test_label_stage_asks_the_judge_of_its_task_and_closes_it(maker: TaskMaker) -> None:
    judge = SternJudge()
    maker.open_judge = lambda: judge
    with pytest.raises(DataError, match="none of 12 samples got a label"):
        label_with(seeing_engine(samples_of(maker)), maker.task("label"))
    assert (judge.num_graded, judge.is_closed) == (12 * 2 * 2, True)


def test_label_stage_asks_only_for_shards_that_are_missing(maker: TaskMaker) -> None:
    samples = samples_of(maker)
    label_with(seeing_engine(samples), maker.task("label"))
    want = maker.folder.dataset_path.read_bytes()
    (maker.folder.stage_dir("label") / "shards" / "00001.json").unlink()
    maker.folder.dataset_path.unlink()
    engine = seeing_engine(samples)
    label_with(engine, maker.task("label"))
    assert len(engine.requests) == 5 * 2 * 2
    assert maker.folder.dataset_path.read_bytes() == want
    assert maker.said[-3:-1] == ["label: 7 of 12 samples were done before", "label: 12/12 samples, took 5 s"]


def test_label_stage_refuses_shards_of_other_samples(maker: TaskMaker) -> None:
    label_with(seeing_engine(samples_of(maker)), maker.task("label"))
    shards = maker.folder.stage_dir("label") / "shards"
    (shards / "00000.json").write_bytes((shards / "00001.json").read_bytes())
    with pytest.raises(DataError, match=r"00000\.json holds labels of other samples"):
        label_with(seeing_engine([]), maker.task("label"))


def test_label_stage_says_what_to_do_when_nothing_is_kept(maker: TaskMaker) -> None:
    clueless = ScriptedEngine(lambda request: "<answer>no idea</answer>")
    with pytest.raises(DataError, match=r"none of 12 samples got a label.*0% of quarter views.*model\.base"):
        label_with(clueless, maker.task("label"))
    assert not maker.folder.dataset_path.exists()


def picture(width: int = 112, height: int = 112) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, format="PNG")
    return file.getvalue()


def rows(*pictures: bytes) -> list[Sample]:
    return [
        Sample(
            id=f"row-{index}",
            question="what color is the shape ?",
            answer="red",
            family="color",
            needs_high_res=None,
            source="mine",
            picture=data,
        )
        for index, data in enumerate(pictures)
    ]


def test_label_stage_takes_a_data_set_of_files(tmp_path: Path) -> None:
    write_samples(tmp_path / "mine.parquet", rows(*[picture()] * 20))
    maker = task_maker(tmp_path / "run-1", {"data.source": str(tmp_path / "mine.parquet")})
    result = label_with(ScriptedEngine(lambda request: "<answer>red</answer>"), maker.task("label"))
    assert result.metrics["label/num_samples"] == 12
    assert result.facts["label_agreement"] is None


@pytest.mark.parametrize(
    ("bad", "want"),
    [
        pytest.param(picture()[:200], "row 1 of .*: .*corrupt", id="corrupt"),
        pytest.param(picture(4000, 4000), "row 1 of .*4000x4000 .* more than the limit", id="huge"),
    ],
)
def test_label_stage_names_a_bad_row_and_leaves_nothing_half_written(tmp_path: Path, bad: bytes, want: str) -> None:
    write_samples(tmp_path / "mine.parquet", rows(picture(), bad))
    source = {"data.source": str(tmp_path / "mine.parquet"), "data.max_picture_pixels": 10**6}
    maker = task_maker(tmp_path / "run-1", source)
    with pytest.raises(DataError, match=want):
        label_with(ScriptedEngine(lambda request: "<answer>red</answer>"), maker.task("label"))
    left = [path.name for path in maker.folder.stage_dir("label").rglob("*") if path.is_file()]
    assert left in ([], ["00000.json"]), "the label of the good row, if it was there already"


def test_label_stage_leaves_bad_rows_out_where_that_is_wanted(tmp_path: Path) -> None:
    write_samples(tmp_path / "mine.parquet", rows(picture(), picture()[:200], picture()))
    maker = task_maker(tmp_path / "run-1", {"data.source": str(tmp_path / "mine.parquet"), "data.skip_bad": True})
    result = label_with(ScriptedEngine(lambda request: "<answer>red</answer>"), maker.task("label"))
    assert result.metrics["label/num_not_needed"] == 2
    assert result.metrics["label/num_failed"] == 1
    assert any("1 of 3 samples got no label, the first (row-1): row 1 of mine.parquet" in line for line in maker.said)


@pytest.mark.parametrize("skips", [True, False])
def test_label_stage_decodes_each_picture_once_and_none_when_nothing_is_left_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skips: bool
) -> None:
    num_decoded = 0

    def counted(data: bytes, *, name: str, max_pixels: int) -> Image.Image:
        nonlocal num_decoded
        num_decoded += 1
        return decode(data, name=name, max_pixels=max_pixels)

    # Every place of the package that could decode a picture of a data set.
    monkeypatch.setattr(opening, "decode", counted)
    monkeypatch.setattr(source, "decode", counted)
    write_samples(tmp_path / "mine.parquet", rows(*[picture()] * 20))
    settings = {"data.source": str(tmp_path / "mine.parquet"), "data.skip_bad": skips}
    maker = task_maker(tmp_path / "run-1", settings)
    for want in (12, 12):
        label_with(ScriptedEngine(lambda request: "<answer>red</answer>"), maker.task("label"))
        assert num_decoded == want
        maker.folder.dataset_path.unlink()


def test_label_stage_keeps_a_forecast_of_the_call(tmp_path: Path) -> None:
    families = ["color", "shape", "count", "code", "mark", "framed"]
    maker = task_maker(tmp_path / "run-2", {"label.num_samples": 72, "data.families": families})
    result = label_with(seeing_engine(samples_of(maker)), maker.task("label"))
    forecast = CallForecast.from_dict(json.loads(result.artifacts["forecast"].read_text()))
    size = Size(width=112, height=112)
    read, name = (forecast.probability(text, size) for text in ("read the letter in the frame .", "name the color ."))
    assert read > name
    assert {"label/forecast_brier", "label/forecast_brier_unseen"} < result.metrics.keys()
    assert "first_look.json" in maker.recorded("label").artifacts


def test_label_stage_without_enough_labels_says_so_and_leaves_no_forecast(maker: TaskMaker) -> None:
    maker.folder.forecast_path.parent.mkdir(parents=True)
    maker.folder.forecast_path.write_text("of an earlier try")
    result = label_with(seeing_engine(samples_of(maker)), maker.task("label"))
    assert maker.said[-1] == (
        "label: no forecast for the first-look shortcut: 6 samples are labelled needed, and it takes 20"
    )
    assert "forecast" not in result.artifacts and not maker.folder.forecast_path.exists()


REGIONS_ASKED = {"label.num_region_rollouts": 4, "episode.tools": ["look_at"], "episode.protocol": "compact-region-v1"}


def test_label_stage_finds_the_region_that_suffices_where_it_is_asked_to(tmp_path: Path) -> None:
    maker = task_maker(tmp_path / "run-1", REGIONS_ASKED)
    truth = {sample.id: sample.region for sample in samples_of(maker)}
    result = label_with(seeing_engine(samples_of(maker)), maker.task("label"))
    kept = list(read_samples(maker.folder.dataset_path))
    assert {sample.id: sample.region for sample in kept if sample.needs_high_res} == {
        sample.id: truth[sample.id] for sample in kept if sample.needs_high_res
    }
    assert all(sample.region is None for sample in kept if not sample.needs_high_res)
    assert result.metrics["label/num_region"] == 6
    assert result.metrics["label/region_agreement_ratio"] == 1.0
    assert len(result.artifacts["regions"].read_text().splitlines()) == 6


def test_label_stage_asks_only_for_regions_that_are_missing(tmp_path: Path) -> None:
    maker = task_maker(tmp_path / "run-1", REGIONS_ASKED)
    label_with(seeing_engine(samples_of(maker)), maker.task("label"))
    want = maker.folder.dataset_path.read_bytes()
    (maker.folder.stage_dir("label") / "regions" / "00001.json").unlink()
    engine = seeing_engine(samples_of(maker))
    label_with(engine, maker.task("label"))
    assert len(engine.requests) == 1 * 4 * 4
    assert maker.folder.dataset_path.read_bytes() == want
