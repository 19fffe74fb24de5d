from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.fakes.stage_task import tiny_config

from visionthink.config import override_config
from visionthink.errors import StorageError, UserError
from visionthink.runs import (
    RunFolder,
    StageResult,
    choose_judging_run,
    choose_run,
    latest_run,
    point_latest,
)

CONFIG = tiny_config()
NOW = datetime(2026, 11, 23, 18, 30, 5, tzinfo=UTC)
NAME = f"20261123-183005-{CONFIG.digest()}"


def begun(runs_dir: Path, name: str = "run-1") -> RunFolder:
    folder = RunFolder(runs_dir / name)
    folder.begin(CONFIG)
    point_latest(folder)
    return folder


def test_choose_run_names_a_new_run_by_time_and_settings(tmp_path: Path) -> None:
    assert choose_run(tmp_path, CONFIG, now=NOW).run_id == NAME


def test_choose_run_makes_nothing(tmp_path: Path) -> None:
    choose_run(tmp_path, CONFIG, now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_choose_run_goes_on_with_the_latest_unfinished_run_of_the_same_settings(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    assert choose_run(tmp_path, CONFIG, now=NOW) == folder


def test_choose_run_begins_anew_when_the_latest_is_done(tmp_path: Path) -> None:
    begun(tmp_path).summary_path.write_text("{}")
    assert choose_run(tmp_path, CONFIG, now=NOW).run_id == NAME


def test_choose_run_begins_anew_with_other_settings(tmp_path: Path) -> None:
    begun(tmp_path)
    other = override_config(CONFIG, {"seed": 1})
    assert choose_run(tmp_path, other, now=NOW).run_id == f"20261123-183005-{other.digest()}"


def test_choose_run_goes_on_where_only_operational_settings_differ(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    other = override_config(CONFIG, {"model.threads": 5, "tracking.required": True})
    assert choose_run(tmp_path, other, now=NOW) == folder


@pytest.mark.parametrize("run_id", ["latest", "my run", "../up"])
def test_choose_run_refuses_a_name_that_no_run_can_have(tmp_path: Path, run_id: str) -> None:
    begun(tmp_path)
    with pytest.raises(UserError, match="cannot name a run"):
        choose_run(tmp_path, CONFIG, now=NOW, run_id=run_id)


def test_choose_judging_run_goes_on_with_the_unfinished_one_of_the_same_settings(tmp_path: Path) -> None:
    first = choose_judging_run(tmp_path, CONFIG, now=NOW)
    assert first.run_id == f"evaluate-{NAME}" and list(tmp_path.iterdir()) == []
    first.begin(CONFIG)
    later = NOW.replace(hour=20)
    assert choose_judging_run(tmp_path, override_config(CONFIG, {"model.threads": 5}), now=later) == first
    other = override_config(CONFIG, {"data.world_seed": 5})
    assert choose_judging_run(tmp_path, other, now=later).run_id == f"evaluate-20261123-203005-{other.digest()}"
    first.keep_result("evaluate", StageResult())
    assert choose_judging_run(tmp_path, CONFIG, now=later).run_id == f"evaluate-20261123-203005-{CONFIG.digest()}"


def test_choose_run_begins_anew_when_the_latest_is_of_another_version(tmp_path: Path) -> None:
    begun(tmp_path).config_path.write_text('{"gone": 1}')
    assert choose_run(tmp_path, CONFIG, now=NOW).run_id == NAME


def test_choose_run_begins_anew_when_told_to(tmp_path: Path) -> None:
    begun(tmp_path)
    assert choose_run(tmp_path, CONFIG, now=NOW, fresh=True).run_id == NAME


def test_choose_run_takes_the_name_that_it_is_given(tmp_path: Path) -> None:
    assert choose_run(tmp_path, CONFIG, now=NOW, run_id="mine").path == tmp_path / "mine"


def test_choose_run_finds_another_name_within_the_same_second(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / f"{NAME}-2").mkdir()
    assert choose_run(tmp_path, CONFIG, now=NOW).run_id == f"{NAME}-3"


def test_latest_run_is_none_where_there_is_none(tmp_path: Path) -> None:
    assert latest_run(tmp_path) is None


def test_point_latest_moves_a_relative_link_and_leaves_nothing_else(tmp_path: Path) -> None:
    begun(tmp_path, "run-1")
    second = begun(tmp_path, "run-2")
    assert latest_run(tmp_path) == second
    assert (tmp_path / "latest").readlink() == Path("run-2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "run-1", "run-2"]


def test_point_latest_does_not_replace_a_folder(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    with pytest.raises(StorageError, match="latest"):
        begun(tmp_path)
