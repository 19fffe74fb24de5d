"""The evaluation of two endpoints, over the real loop with the real model: as good, spoiled, away, asked otherwise."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.spoiled_model import spoiled

from visionthink.config import RunConfig, override_config
from visionthink.errors import BackendError
from visionthink.judges import RuleJudge
from visionthink.model.bundled import bundled_path
from visionthink.model.card import with_card
from visionthink.rollout import ServedVersion
from visionthink.rollout.evaluator import EndpointEvaluator
from visionthink.serving import background_server
from visionthink.serving.opening import open_app

pytestmark = pytest.mark.slow
NUM_SAMPLES = 24


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """Two endpoints of the bundled model, one of a spoiled one, and one that is gone."""
    good, bad = bundled_path(), spoiled(bundled_path(), tmp_path_factory.mktemp("models") / "bad")
    config = override_config(RunConfig(), {"serve.model_name": "ar"})
    with ExitStack() as stack:
        found = {
            name: [stack.enter_context(background_server(open_app(model, config), deadline_s=120))]
            for name, model in (("v1", good), ("v2", good), ("v3", bad))
        }
        yield {**found, "gone": ["http://127.0.0.1:9"]}


def evaluator(addresses: dict[str, list[str]], folder: Path, lines: list[str], **settings: Any) -> EndpointEvaluator:
    rollout = {"num_samples": NUM_SAMPLES, "min_samples": NUM_SAMPLES, "num_latency_samples": 4}
    # Three models share this machine with whatever else runs on it: seconds are measured, and decide nothing.
    rollout |= {"max_in_flight": 4, "max_latency_ratio": 1000.0}  # type: ignore[dict-item]
    config = override_config(
        with_card(bundled_path(), RunConfig()), {"cluster.serving.name": "ar", "rollout": rollout, **settings}
    )
    return EndpointEvaluator(
        config=config,
        addresses=lambda name: addresses.get(name, []),
        folder=folder,
        open_judge=RuleJudge,
        api_key=None,
        clock=time.perf_counter,
        say=lines.append,
    )


def version(name: str) -> ServedVersion:
    return ServedVersion(name=name, uri=f"s3://models/{name}", runtime="r")


def test_a_version_of_the_same_model_passes_and_is_not_asked_twice(
    addresses: dict[str, list[str]], tmp_path: Path
) -> None:
    lines: list[str] = []
    found = evaluator(addresses, tmp_path, lines).evaluate(version("v2"), version("v1"))
    assert found.judged.passed, found.judged
    assert any("min_accuracy_gain" in line and "+0.0000 [+0.0000 +0.0000]" in line for line in lines), lines
    # What was answered is kept: the second time nobody is there to be asked, and nobody need be.
    gone = {name: addresses["gone"] for name in addresses}
    assert evaluator(gone, tmp_path, lines).evaluate(version("v2"), version("v1")) == found


def test_a_spoiled_version_fails_by_its_figures(addresses: dict[str, list[str]], tmp_path: Path) -> None:
    found = evaluator(addresses, tmp_path, []).evaluate(version("v3"), version("v1"))
    assert not found.judged.passed and "FAIL min_accuracy_gain" in found.judged.reason
    assert found.facts["promote"] is False


def test_a_new_version_that_does_not_answer_is_judged_and_the_one_in_use_is_not(
    addresses: dict[str, list[str]], tmp_path: Path
) -> None:
    quick = {"model.max_in_flight": 32}
    found = evaluator(addresses, tmp_path, [], **quick).evaluate(version("gone"), version("v1"))
    assert not found.judged.passed and "it does not answer" in found.judged.reason
    with pytest.raises(BackendError):
        evaluator(addresses, tmp_path, [], **quick).evaluate(version("v1"), version("gone"))
    with pytest.raises(BackendError, match="no pod of v9 is ready"):
        evaluator(addresses, tmp_path, [], **quick).evaluate(version("v1"), version("v9"))


def test_an_endpoint_with_other_settings_than_it_is_judged_by_is_told_and_not_averaged(
    addresses: dict[str, list[str]], tmp_path: Path
) -> None:
    other = {"view.max_pixels": 50176, "view.min_pixels": 50176}
    with pytest.raises(BackendError, match="set episode and view as in the card of its model"):
        evaluator(addresses, tmp_path, [], **other).evaluate(version("v2"), version("v1"))
