from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.config import RunConfig, load_config
from visionthink.errors import ConfigError
from visionthink.pipelines.cluster.fields import Fields, is_off, percents_of, resolve


def test_empty_fields_are_the_defaults() -> None:
    assert resolve(Fields(), None, {}) == RunConfig()


def test_preset_then_installation_then_fields_then_overrides(tmp_path: Path) -> None:
    platform = tmp_path / "platform.toml"
    platform.write_text('seed = 5\n[train]\nnum_steps = 7\n[cluster]\nnamespace = "ml"\n')
    assert load_config(None, {}, preset="tiny-verl").train.num_steps == 24
    found = resolve(
        Fields(
            preset=" tiny-verl ",
            data_source="s3://b/rows",
            base_model="/models/7b",
            model_name="eyes",
            canary_steps="10, 50",
            overrides='seed=9 \'data.families=["color", "mark"]\' judge.prompt=paper',
        ),
        platform,
        {},
    )
    assert (found.train.backend, found.train.num_steps, found.cluster.namespace) == ("verl", 7, "ml")
    assert (found.data.source, found.model.base) == ("s3://b/rows", "/models/7b")
    assert (found.register_model.name, found.rollout.percents) == ("eyes", (10, 50))
    assert (found.seed, found.data.families, found.judge.prompt) == (9, ("color", "mark"), "paper")


def test_overrides_win_over_the_fields() -> None:
    assert resolve(Fields(model_name="a", overrides="register_model.name=b"), None, {}).register_model.name == "b"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (Fields(preset="none"), "there is no preset 'none'"),
        (Fields(overrides="seed"), "not of the form section.key=value"),
        (Fields(overrides="seed='1"), "close the quotes"),
        (Fields(overrides="sed=1"), "unknown key sed"),
        (Fields(canary_steps="5%"), "no whole percents"),
        (Fields(canary_steps="50,5"), "must rise"),
    ],
)
def test_field_that_cannot_be_read_is_refused(fields: Fields, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        resolve(fields, None, {})


@pytest.mark.parametrize(
    ("env", "want"),
    [
        ({}, "http://own:5000"),
        ({"MLFLOW_TRACKING_URI": "http://other:5000"}, "http://own:5000"),
        ({"MLFLOW_RUN_ID": "7"}, "http://own:5000"),
        ({"MLFLOW_RUN_ID": "7", "MLFLOW_TRACKING_URI": "http://kubeflow:5000"}, None),
    ],
)
def test_server_that_kubeflow_injects_with_a_run_is_the_one(env: dict[str, str], want: str | None) -> None:
    assert resolve(Fields(overrides="tracking.uri=http://own:5000"), None, env).tracking.uri == want


@given(st.lists(st.integers(1, 99), min_size=1, max_size=5))
def test_percents_are_read_as_they_are_written(percents: list[int]) -> None:
    assert percents_of(",".join(map(str, percents))) == tuple(percents)
    assert percents_of(" ".join(map(str, percents))) == tuple(percents)


@pytest.mark.parametrize(("text", "want"), [("off", True), (" OFF ", True), ("", False), ("5", False)])
def test_off_rolls_nothing_out(text: str, want: bool) -> None:
    assert is_off(text) is want
    if want:
        assert percents_of(text) is None
