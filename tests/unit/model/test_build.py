"""The recipe at a hundredth of its size: every phase learns, the tower is frozen after the first, a seed fixes all."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
import torch

from visionthink.errors import ConfigError
from visionthink.model import build as subject
from visionthink.model.build import EMBEDDED_MAKING, MAKINGS, Recipe, build_base_model, train_base_model
from visionthink.model.examination import RegionFigures
from visionthink.model.folder import LoadedModel, load_model
from visionthink.model.lesson_loss import lesson_loss
from visionthink.storage import verify

PHASES = ("sight", "recital", "question", "episode")
SMALL = Recipe(
    sight_steps=12,
    sight_batch=10,
    recital_steps=12,
    recital_batch=4,
    question_steps=12,
    question_batch=4,
    episode_steps=12,
    episode_batch=6,
)


class Call(NamedTuple):
    """What a phase tells after a step."""

    step: int
    num_steps: int
    loss: float
    accuracy: float


class Trained(NamedTuple):
    """A small training and what it told."""

    loaded: LoadedModel
    accuracy: Mapping[str, float]
    told: Mapping[str, list[Call]]


def train(recipe: Recipe, seed: int = 0) -> Trained:
    told: dict[str, list[Call]] = defaultdict(list)
    with torch.random.fork_rng():
        loaded, accuracy = train_base_model(
            seed=seed,
            on_progress=lambda phase, *values: told[phase].append(Call(*values)),
            making=replace(EMBEDDED_MAKING, recipe=recipe),
        )
    return Trained(loaded, accuracy, told)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(SMALL)


def test_phases_come_in_order_and_tell_of_every_step(trained: Trained) -> None:
    assert tuple(trained.told) == tuple(trained.accuracy) == PHASES
    for calls in trained.told.values():
        assert [(call.step, call.num_steps) for call in calls] == [(step, 12) for step in range(1, 13)]
        assert all(0 <= call.accuracy <= 1 for call in calls)


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_learns(phase: str, trained: Trained) -> None:
    losses = [call.loss for call in trained.told[phase]]
    assert sum(losses[-3:]) < 0.95 * sum(losses[:3])


def test_accuracy_is_that_of_the_last_tenth(trained: Trained) -> None:
    for phase, calls in trained.told.items():
        assert trained.accuracy[phase] == calls[-1].accuracy


def test_a_seed_fixes_the_model(trained: Trained) -> None:
    short = replace(SMALL, sight_steps=2, recital_steps=2, question_steps=2, episode_steps=2)
    first, again, other = train(short), train(short), train(short, seed=1)
    weights, same, different = (each.loaded.model.state_dict() for each in (first, again, other))
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert not torch.equal(weights["lm_head.weight"], different["lm_head.weight"])
    assert first.told == again.told


def test_seeing_is_not_unlearned_by_the_later_phases() -> None:
    """The tower is frozen after the first phase, and handed over ready to be trained."""
    followed_by = replace(SMALL, sight_steps=3, recital_steps=2, question_steps=2, episode_steps=2)
    alone = train(replace(followed_by, recital_steps=0, question_steps=0, episode_steps=0))
    followed = train(followed_by)
    before, after = alone.loaded.model.state_dict(), followed.loaded.model.state_dict()
    for name in before:
        assert torch.equal(before[name], after[name]) == ("visual" in name), name
    assert all(parameter.requires_grad for parameter in followed.loaded.model.parameters())


def test_build_leaves_a_whole_folder_that_says_what_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = {"auto": {"color": {"accuracy": 0.5, "resize_rate": 0.5, "num_samples": 1}}}
    monkeypatch.setattr(subject, "examine", lambda loaded, *, seed: report)
    recipe = Recipe(sight_steps=1, sight_batch=5, recital_steps=1, recital_batch=1, question_steps=0, episode_steps=0)
    build_base_model(tmp_path / "base", seed=7, making=replace(EMBEDDED_MAKING, recipe=recipe))
    files = set(verify(tmp_path / "base").files)
    assert {"origin.json", "config.json", "model.safetensors", "chat_template.jinja", "visionthink.json"} <= files
    origin = json.loads((tmp_path / "base" / "origin.json").read_text())
    assert origin["command"] == "visionthink base-model build --out base --seed 7"
    assert (origin["seed"], origin["recipe"]["sight_steps"], origin["examination"]) == (7, 1, report)
    assert origin["num_parameters"] == load_model(tmp_path / "base").model.num_parameters()
    assert set(origin["phase_accuracy"]) == set(PHASES)
    assert capsys.readouterr().out.startswith("sight 1/1: loss ")


def test_build_does_not_replace_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        build_base_model(tmp_path, seed=0)
    assert list(tmp_path.iterdir()) == []


REGION = Recipe(
    sight_steps=2,
    sight_batch=10,
    recital_steps=1,
    recital_batch=2,
    question_steps=1,
    question_batch=2,
    episode_steps=1,
    episode_batch=2,
)


@pytest.mark.parametrize("preset", ["region", "scattered"])
def test_models_of_regions_are_made_in_the_same_phases_with_lessons_of_their_own(preset: str) -> None:
    told: list[str] = []
    with torch.random.fork_rng():
        _, accuracy = train_base_model(
            seed=0,
            on_progress=lambda phase, *values: told.append(phase),
            making=replace(MAKINGS[preset], recipe=REGION),
        )
    assert tuple(dict.fromkeys(told)) == tuple(accuracy) == PHASES


def test_what_a_model_was_told_to_look_at_it_practices_without_being_told() -> None:
    gazes: list[float] = []

    def loss(*args: object, gaze_weight: float) -> tuple[torch.Tensor, float]:
        gazes.append(gaze_weight)
        return lesson_loss(*args, gaze_weight=gaze_weight)  # type: ignore[arg-type]

    recipe = replace(REGION, sight_steps=1, gaze_weight=0.5, practice_steps=2)
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.setattr(subject, "lesson_loss", loss)
        making = replace(MAKINGS["scattered"], recipe=recipe)
        loaded, accuracy = train_base_model(seed=0, on_progress=lambda *told: None, making=making)
    assert tuple(accuracy) == (*PHASES, "practice")
    assert gazes == [0.5, 0.5, 0.5, 0.0, 0.0]
    assert cast("Any", loaded.model).config.text_config._attn_implementation == "sdpa"


def figures(right_rate: float) -> RegionFigures:
    return RegionFigures(accuracy_full=0.9, accuracy_region=0.9, named_rate=0.9, right_rate=right_rate, whole_rate=0.2)


@pytest.mark.parametrize(("preset", "tool"), [("region", "look_at"), ("scattered", "look_near")])
def test_build_of_regions_leaves_a_card_that_offers_its_tool(
    preset: str, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "examine_regions", lambda loaded, config, *, seed: ({}, figures(0.6)))
    build_base_model(tmp_path / "base", seed=1, making=replace(MAKINGS[preset], recipe=REGION))
    card = json.loads((tmp_path / "base" / "visionthink.json").read_text())
    assert (card["episode"]["protocol"], card["episode"]["tools"]) == ("compact-region-v1", [tool])
    origin = json.loads((tmp_path / "base" / "origin.json").read_text())
    assert origin["command"] == f"visionthink base-model build --out base --seed 1 --preset {preset}"
    assert origin["regions"]["right_rate"] == 0.6


def test_build_of_regions_refuses_a_model_that_cannot_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "examine_regions", lambda loaded, config, *, seed: ({}, figures(0.3)))
    with pytest.raises(ConfigError, match=r"of seed 1 cannot learn where to look: 0\.30 of its regions are right"):
        build_base_model(tmp_path / "base", seed=1, making=replace(MAKINGS["region"], recipe=REGION))
    assert not (tmp_path / "base").exists()
