"""Contenders whose model drops visual tokens, beside the others."""

from pathlib import Path
from typing import Any

import pytest
from tests.fakes.stage_task import task_maker
from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.config import RunConfig, override_config
from visionthink.core.episode import FinishReason, ModelReply, Signal
from visionthink.core.gate import ContenderRole
from visionthink.core.geometry import Size, View
from visionthink.core.pruning import Pruning
from visionthink.core.trace import Trace, TurnTrace
from visionthink.engines import pruned_engine
from visionthink.engines.transformers_local import TransformersEngine
from visionthink.errors import ConfigError
from visionthink.evaluation.contender import Contender, check_contenders, computed_tokens, usual_contenders
from visionthink.evaluation.stage import evaluate_with
from visionthink.metrics import EVAL_VISUAL_TOKENS_MEAN, escaped

PRUNED = ("always_high+fastv@0.5", "always_low+visionzip@0.25", "trained+sparsevlm@0.7")


def contenders_of(*names: str, **overrides: Any) -> tuple[Contender, ...]:
    config = override_config(RunConfig(), {"evaluate.contenders": list(names), **overrides})
    return usual_contenders(Path("base"), Path("trained"), config)


def test_contenders_with_tokens_dropped_follow_the_usual_ones() -> None:
    found = contenders_of(*PRUNED)
    check_contenders(found)
    assert [(one.name, one.model.name, one.policy, one.label) for one in found[4:]] == [
        ("always_high+fastv@0.5", "base", "always_high", "full view always, FastV 50%"),
        ("always_low+visionzip@0.25", "base", "always_low", "quarter view only, VisionZip 25%"),
        ("trained+sparsevlm@0.7", "trained", "auto", "trained model, SparseVLM 70%"),
    ]
    assert {one.role for one in found[4:]} == {ContenderRole.OTHER}


def test_the_loop_spares_its_first_view_and_a_fixed_view_is_not_spared() -> None:
    found = contenders_of(*PRUNED)
    assert [one.pruning and one.pruning.spares_first for one in found[4:]] == [False, False, True]


def test_layers_come_from_the_settings() -> None:
    found = contenders_of(*PRUNED, **{"evaluate.fastv_layer": 2, "evaluate.sparsevlm_layers": [2, 6, 15]})
    assert [one.pruning and one.pruning.layers for one in found[4:]] == [(2,), (0,), (2, 6, 15)]


def test_a_model_trained_on_the_full_view_is_judged_on_it() -> None:
    found = contenders_of(**{"train.policy": "always_high", "reward.penalty": "none"})
    assert [(one.name, one.policy) for one in found if one.role is ContenderRole.CANDIDATE] == [
        ("trained", "always_high")
    ]


@pytest.mark.parametrize(
    ("given", "want"),
    [
        pytest.param("always_mid+fastv@0.5", "no contender is called 'always_mid'", id="nobody"),
        pytest.param("champion+fastv@0.5", "no contender is called 'champion'", id="one that may be missing"),
        pytest.param("always_high", "takes part in every evaluation", id="one that is there anyway"),
        pytest.param("always_high+", "is not METHOD@RATIO", id="no method"),
        pytest.param("always_high+pumer@0.5", "the methods are fastv", id="an unknown method"),
        pytest.param("always_high+fastv@0", "above 0", id="nothing kept"),
        pytest.param("always_high+fastv@0.5+fastv@0.5", "is not METHOD@RATIO", id="two at once"),
    ],
)
def test_a_name_that_nobody_has_is_refused(given: str, want: str) -> None:
    with pytest.raises(ConfigError, match=want):
        contenders_of(given)


@pytest.mark.parametrize(
    ("overrides", "want"),
    [
        pytest.param(
            {"evaluate.contenders": ["base+fastv@.5", "base+fastv@0.50"]}, "stands there twice", id="one in two forms"
        ),
        pytest.param({"evaluate.sparsevlm_layers": [2, 1]}, "layers that rise", id="layers that fall"),
        pytest.param({"evaluate.sparsevlm_layers": []}, "layers that rise", id="no layers"),
        pytest.param(
            {"evaluate.contenders": ["always_high+fastv@0.5"], "model.engine": "openai:http://h/v1?model=m"},
            "set model.engine",
            id="a base model behind a server",
        ),
        pytest.param(
            {"evaluate.contenders": ["trained+fastv@0.5"], "evaluate.engine": "openai:http://h/v1?model=m"},
            "set evaluate.engine",
            id="a trained model behind a server",
        ),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(overrides: dict[str, Any], want: str) -> None:
    with pytest.raises(ConfigError, match=want) as caught:
        override_config(RunConfig(), overrides)
    assert len(str(caught.value)) < 300, "not the whole configuration"


def test_a_server_may_answer_for_those_that_drop_nothing() -> None:
    changes = {"evaluate.contenders": ["always_high+fastv@.50"], "evaluate.engine": "openai:http://h/v1?model=m"}
    assert override_config(RunConfig(), changes).evaluate.contenders == ("always_high+fastv@0.5",)


def _trace(*counts: float | None) -> Trace:
    view = View(size=Size(width=56, height=56))
    turns = tuple(
        TurnTrace(
            turn=index + 1,
            forced=False,
            signal=Signal.ANSWER,
            reply=ModelReply(text="", finish_reason=FinishReason.STOP, num_visual_tokens=count),
        )
        for index, count in enumerate(counts)
    )
    return Trace(turns=turns, views=(view, view), messages=())


@pytest.mark.parametrize(
    ("counts", "want"),
    [((4.0, 6.4), 7), ((4.0, 6.0), 6), ((None,), 8), ((), 8)],
    ids=["a part of a token", "whole tokens", "an engine that does not tell", "no reply"],
)
def test_an_episode_costs_what_its_last_turn_computed(counts: tuple[float | None, ...], want: int) -> None:
    assert computed_tokens(_trace(*counts)) == want


def opened(contender: Contender) -> Any:
    return pruned_engine(TransformersEngine(tiny_model(), tiny_processor()), contender.pruning)


@pytest.mark.slow
def test_evaluate_stage_counts_what_the_model_computes(tmp_path: Path) -> None:
    """The world's pictures have 16 tokens here: FastV lets one layer of three compute all of them."""
    names = ["always_high+fastv@0.5", "always_high+visionzip@0.5", "always_high+visionzip@1"]
    maker = task_maker(tmp_path / "run-1", {"evaluate.contenders": names, "episode.max_reply_tokens": 4})
    result = evaluate_with(opened, base=Path("base"), candidate=Path("trained"), task=maker.task("evaluate"))
    tokens = {name: result.metrics[EVAL_VISUAL_TOKENS_MEAN.key(row=name)] for name in ("always_high", *names)}
    assert tokens == pytest.approx({"always_high": 16, names[0]: 11, names[1]: 8, names[2]: 16})
    page = " ".join(maker.folder.report_path.read_text().split())
    assert "full view always, FastV 50%" in page and "mean over its layers" in page
    rows: Any = result.facts["rows"]
    assert [name for name, figures in rows.items() if figures["drops_tokens"]] == names
    answers = maker.folder.stage_dir("evaluate") / "answers"
    assert _texts(answers / escaped(names[2])) == _texts(answers / "always_high")


def _texts(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.iterdir())]


def test_layers_that_a_model_does_not_have_are_refused_before_a_question(tmp_path: Path) -> None:
    maker = task_maker(tmp_path / "run-1", {"evaluate.contenders": ["base+fastv@0.5"], "evaluate.fastv_layer": 3})
    base = tmp_path / "base"
    base.mkdir()
    for text in ('{"num_hidden_layers": 3}', '{"text_config": {"num_hidden_layers": 3}}'):
        (base / "config.json").write_text(text)
        with pytest.raises(ConfigError, match=r"before layer 3, counted from 0, but the model has 3 layers"):
            evaluate_with(_never, base=base, candidate=Path("trained"), task=maker.task("evaluate"))


def _never(contender: Contender) -> Any:
    raise AssertionError(contender.name)


def test_contenders_with_tokens_dropped_have_an_engine_of_their_own() -> None:
    assert len({one.pruning for one in contenders_of(*PRUNED)}) == 4
    assert contenders_of(*PRUNED)[4].pruning == Pruning(method="fastv", retained_ratio=0.5, layers=(1,))
