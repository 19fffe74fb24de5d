"""What veRL's processes find in their environment."""

from pathlib import Path

import pytest

from visionthink.config import RunConfig, override_config
from visionthink.training.verl.environment import environment, handed_on
from visionthink.training.verl.plan import VerlPlan

PLAN = VerlPlan(train_rows=Path("rows"), base_model=Path("base"), output=Path("out"), run_id="a-run", device="cpu")


@pytest.mark.parametrize(("freeze", "want"), [(True, "visionthink"), (False, None)])
def test_the_tower_is_frozen_by_the_environment(freeze: bool, want: str | None) -> None:
    config = override_config(RunConfig(), {"train.freeze_vision": freeze})
    assert environment(PLAN, config, {}, steps=Path("steps")).get("VERL_ENGINE_VENDOR") == want


def test_what_the_user_has_set_stays() -> None:
    got = environment(PLAN, RunConfig(), {"RAY_AUTH_MODE": "token", "PYTHONPATH": "/mine"}, steps=Path("steps"))
    assert got["RAY_AUTH_MODE"] == "token" and got["PYTHONPATH"].endswith(":/mine")


def test_a_ray_that_was_there_before_is_handed_all_that_is_ours() -> None:
    """Its processes have the environment of their nodes: without a word of our engine the tower would be trained."""
    user = {"HOME": "/home/user", "AWS_SECRET_ACCESS_KEY": "secret", "RAY_AUTH_TOKEN": "token"}
    made = environment(PLAN, override_config(RunConfig(), {"train.freeze_vision": True}), user, steps=Path("steps"))
    ours = made.keys() - user.keys() - {"RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED"}
    assert handed_on(made) == {name: made[name] for name in ours}
    assert made["VERL_FILE_LOGGER_PATH"] == "steps" and "VERL_ENGINE_VENDOR" in ours
