"""An evaluation beside a folder of replies: what any evaluation had is not asked again, and time is still measured."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.fakes.seeing import seeing_engine
from tests.fakes.stage_task import TaskMaker, task_maker

from visionthink.core.episode import Event
from visionthink.engines import Engine, Request, ScriptedEngine
from visionthink.errors import ConfigError, EngineError
from visionthink.evaluation.contender import reply_identity, usual_contenders
from visionthink.evaluation.stage import evaluate_with
from visionthink.runs import StageResult
from visionthink.samples import samples_to_evaluate

NUM_LATENCY = 3
"""Requests of a contender without a call that measure latency: two, and one that is not counted."""


def model(folder: Path, content: str) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_text(content)
    return folder


def maker_of(folder: Path, run: str) -> TaskMaker:
    return task_maker(folder / run, {"evaluate.reply_cache": str(folder / "replies")})


def evaluated(maker: TaskMaker, engines: Mapping[Path, Engine]) -> StageResult:
    base, candidate = engines
    return evaluate_with(
        lambda contender: engines[contender.model], base=base, candidate=candidate, task=maker.task("evaluate")
    )


def seeing(maker: TaskMaker, base: Path, candidate: Path) -> dict[Path, ScriptedEngine]:
    tests = samples_to_evaluate(maker.config)
    samples = [*tests.samples, *tests.held_out]
    return {base: seeing_engine(samples, asks=False), candidate: seeing_engine(samples)}


class First(NamedTuple):
    """An evaluation that filled the folder of replies."""

    folder: Path
    base: Path
    trained: Path
    result: StageResult
    num_asked: int
    """Of the base model."""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    folder = tmp_path_factory.mktemp("first")
    base, trained = model(folder / "base", "base"), model(folder / "trained", "trained")
    maker = maker_of(folder, "run-1")
    engines = seeing(maker, base, trained)
    return First(folder, base, trained, evaluated(maker, engines), len(engines[base].requests))


def test_a_second_run_asks_for_its_latencies_alone_and_comes_to_the_same(first: First) -> None:
    maker = maker_of(first.folder, "run-2")
    engines = seeing(maker, first.base, first.trained)
    result = evaluated(maker, engines)
    assert result.metrics == first.result.metrics and result.facts == first.result.facts
    assert first.num_asked == 3 * (8 + NUM_LATENCY)
    assert len(engines[first.base].requests) == 3 * NUM_LATENCY
    assert len(engines[first.trained].requests) <= 2 * NUM_LATENCY


def test_another_candidate_is_asked_and_the_base_is_not(first: First) -> None:
    maker = maker_of(first.folder, "run-3")
    other = model(first.folder / "other", "other")
    engines = seeing(maker, first.base, other)
    evaluated(maker, engines)
    assert len(engines[first.base].requests) == 3 * NUM_LATENCY
    assert len(engines[other].requests) > 8 + NUM_LATENCY


def test_what_an_evaluation_had_before_it_broke_off_is_not_asked_again(tmp_path: Path) -> None:
    base, trained = model(tmp_path / "base", "base"), model(tmp_path / "trained", "trained")
    maker = maker_of(tmp_path, "run-1")
    engines = seeing(maker, base, trained)
    with pytest.raises(EngineError, match="pulled the plug"):
        evaluated(maker, {base: Mortal(engines[base], num_left=15), trained: engines[trained]})
    again = maker_of(tmp_path, "run-2")
    engines = seeing(again, base, trained)
    evaluated(again, engines)
    assert len(engines[base].requests) == 3 * (8 + NUM_LATENCY) - 15


class Mortal:
    """An engine that ends everything after some replies."""

    def __init__(self, engine: Engine, *, num_left: int) -> None:
        self._engine = engine
        self._num_left = num_left

    @property
    def model(self) -> str:
        return self._engine.model

    async def reply(self, request: Request) -> Event:
        self._num_left -= 1
        if self._num_left < 0:
            raise EngineError("somebody pulled the plug", retryable=False)
        return await self._engine.reply(request)

    async def aclose(self) -> None:
        await self._engine.aclose()


def test_a_store_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.reply_cache: replies are kept in a folder .*s3://bucket"):
        task_maker(tmp_path, {"evaluate.reply_cache": "s3://bucket/replies"})


def test_contenders_of_one_model_share_their_replies(tmp_path: Path) -> None:
    base, trained = model(tmp_path / "base", "base"), model(tmp_path / "trained", "trained")
    config = task_maker(tmp_path / "run-1").config
    identities = [reply_identity(contender) for contender in usual_contenders(base, trained, config)]
    assert identities[0] == identities[1] == identities[2] != identities[3]


def test_a_copy_of_a_model_with_its_figures_is_the_same_model(tmp_path: Path) -> None:
    trained, copy = model(tmp_path / "trained", "trained"), model(tmp_path / "copy", "trained")
    (copy / "evaluation.json").write_text("{}")
    *_, contender = usual_contenders(trained, trained, task_maker(tmp_path / "run-1").config)
    assert reply_identity(contender) == reply_identity(replace(contender, model=copy))
