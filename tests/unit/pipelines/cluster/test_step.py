from pathlib import Path

import pytest
from tests.fakes.stage_task import tiny_config

from visionthink.config import RunConfig, override_config
from visionthink.core.json_value import Json
from visionthink.errors import ConfigError, StorageError
from visionthink.pipelines.cluster.cache_key import cache_key, version_of
from visionthink.pipelines.cluster.place import platform_file, run_folder
from visionthink.pipelines.cluster.registering import Registered, release_of
from visionthink.runs import StageResult


def test_key_bears_the_version_and_is_the_same_for_the_same() -> None:
    import visionthink

    assert version_of(cache_key(tiny_config())) == visionthink.__version__
    assert cache_key(tiny_config()) == cache_key(tiny_config({"seed": 4})), "settings are a parameter of their own"


def test_key_changes_with_the_data_and_not_when_it_is_only_looked_at(tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "a.jsonl").write_text("{}")
    config = override_config(RunConfig(), {"data.source": str(rows)})
    keys = [cache_key(config), cache_key(config)]
    (rows / "a.jsonl").write_text("{ }")
    keys.append(cache_key(config))
    (rows / "b.jsonl").write_text("{}")
    keys.append(cache_key(config))
    assert keys[0] == keys[1] and len(set(keys)) == 3


def test_key_changes_with_the_data_to_evaluate_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("{}")
    source = {"data.source": str(tmp_path / "a")}
    both = override_config(RunConfig(), {**source, "data.eval_source": str(tmp_path / "b")})
    assert cache_key(both) != cache_key(override_config(RunConfig(), source))


def test_folder_is_named_as_kubeflow_names_the_run(tmp_path: Path) -> None:
    env = {"KFP_RUN_ID": "6f1c", "VISIONTHINK_RUNS_DIR": str(tmp_path)}
    assert run_folder(env).path == tmp_path / "6f1c" and (tmp_path / "6f1c").is_dir()
    with pytest.raises(ConfigError, match="KFP_RUN_ID is not set"):
        run_folder({"VISIONTHINK_RUNS_DIR": str(tmp_path)})


def test_volume_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the volume should be")
    with pytest.raises(StorageError, match="runs"):
        run_folder({"KFP_RUN_ID": "6f1c", "VISIONTHINK_RUNS_DIR": str(tmp_path / "runs")})


def test_settings_of_the_installation_are_taken_where_they_are_mounted(tmp_path: Path) -> None:
    env = {"VISIONTHINK_SETTINGS_DIR": str(tmp_path)}
    assert platform_file(env) is None
    (tmp_path / "platform.toml").write_text("")
    assert platform_file(env) == tmp_path / "platform.toml"


@pytest.mark.parametrize(
    ("version", "promote", "canary_steps", "want"),
    [
        ("7", True, "", Registered("7", "yes")),
        ("7", True, "5,50", Registered("7", "yes")),
        ("7", True, "off", Registered("7", "")),
        ("7", False, "", Registered("7", "")),
        (None, True, "", Registered("", "")),
    ],
)
def test_version_is_rolled_out_when_the_gate_and_the_fields_say_so(
    version: str | None, promote: bool, canary_steps: str, want: Registered
) -> None:
    decision: Json = {"promote": promote, "reasons": []}
    assert release_of(StageResult(facts={"version": version, "decision": decision}), canary_steps) == want
