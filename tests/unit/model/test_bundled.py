"""The checkpoint that ships with the package: small, documented, loadable by the stock classes, and able to read."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.fakes.asked import held
from transformers import AutoModelForImageTextToText, AutoProcessor, Qwen2_5_VLForConditionalGeneration

from visionthink.config import RunConfig, load_config
from visionthink.datasets.world import FAMILIES, generate
from visionthink.engines import Sampling
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.episodes.prompting import ViewPolicy
from visionthink.judges import GradeItem, RuleJudge
from visionthink.model.build import MAKINGS
from visionthink.model.bundled import EMBEDDED_REGION, EMBEDDED_SCATTERED, SHIPPED, bundled_path
from visionthink.model.card import with_card
from visionthink.model.examination import RegionFigures
from visionthink.storage import verify

MAX_BYTES = 12 * 2**20
NUM_QUESTIONS = 60


@pytest.fixture(scope="module")
def folder() -> Path:
    return bundled_path()


def test_all_files_together_are_small_and_whole(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < MAX_BYTES
    verify(folder)


def test_origin_says_how_it_was_made_and_what_it_can_do(folder: Path) -> None:
    origin = json.loads((folder / "origin.json").read_text())
    assert origin["command"].startswith("visionthink base-model build ")
    assert f"--seed {origin['seed']}" in origin["command"]
    assert set(origin["phase_accuracy"]) == {"sight", "recital", "question", "episode"}
    for families in origin["examination"].values():
        assert set(families) == set(FAMILIES)
    assert set(origin["versions"]) >= {"torch", "transformers"}


def test_the_stock_classes_load_it(folder: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
    assert isinstance(model, Qwen2_5_VLForConditionalGeneration)
    assert processor.chat_template == processor.tokenizer.chat_template
    assert len(processor.tokenizer) <= model.config.get_text_config().vocab_size


async def accuracy(folder: Path, policy: ViewPolicy, families: list[str]) -> float:
    """Share of greedy answers that are right, on pictures of the test split."""
    samples = list(generate("test", NUM_QUESTIONS, seed=20, families=families))
    engine = TransformersEngine.load(folder, batch_size=NUM_QUESTIONS)
    finishes = await held(engine, samples, policy, Sampling(temperature=0.0, max_tokens=40))
    await engine.aclose()
    items = [
        GradeItem(question=sample.question, answer=sample.answer, prediction=finish.answer)
        for sample, finish in zip(samples, finishes, strict=True)
    ]
    grades = [await RuleJudge().grade(item) for item in items]
    return sum(grade.correct for grade in grades) / NUM_QUESTIONS


async def test_it_reads_the_full_view(folder: Path) -> None:
    assert await accuracy(folder, "always_high", list(FAMILIES)) >= 0.95


async def test_it_cannot_read_fine_print_in_the_quarter_view(folder: Path) -> None:
    fine = [name for name, family in FAMILIES.items() if family.needs_high_res]
    assert await accuracy(folder, "always_low", fine) <= 0.25


def test_all_shipped_models_together_are_small() -> None:
    sizes = [path.stat().st_size for name in SHIPPED for path in bundled_path(name).rglob("*") if path.is_file()]
    assert sum(sizes) < MAX_BYTES


OF_REGIONS = [(EMBEDDED_REGION, "region"), (EMBEDDED_SCATTERED, "scattered")]


@pytest.mark.parametrize(("name", "preset"), OF_REGIONS)
def test_a_model_of_regions_says_how_it_was_made_and_could_learn(name: str, preset: str) -> None:
    folder = bundled_path(name)
    verify(folder)
    origin = json.loads((folder / "origin.json").read_text())
    want = f"visionthink base-model build --out {folder.name} --seed {origin['seed']} --preset {preset}"
    assert origin["command"] == want
    later = {
        "gaze_weight": 0.0,
        "practice_steps": 0,
    }  # an older model's recipe has no word for what was not yet thought of
    assert later | origin["recipe"] == asdict(MAKINGS[preset].recipe)
    assert list(RegionFigures(**origin["regions"]).problems(MAKINGS[preset].least_aim)) == []


@pytest.mark.parametrize(("name", "preset"), OF_REGIONS)
def test_a_model_of_regions_is_asked_as_its_preset_says(name: str, preset: str) -> None:
    config = load_config(None, preset=preset)
    asked = with_card(bundled_path(name), RunConfig())
    assert (asked.episode, asked.view) == (config.episode, config.view)


async def test_the_model_of_regions_reads_the_full_view() -> None:
    assert await accuracy(bundled_path(EMBEDDED_REGION), "always_high", list(FAMILIES)) >= 0.93
