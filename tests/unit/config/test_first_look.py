import pytest

from visionthink.config import RunConfig, override_config
from visionthink.core.first_look import LookCosts
from visionthink.errors import ConfigError


def test_measured_seconds_become_costs() -> None:
    config = override_config(
        RunConfig(),
        {"first_look.first_turn_s": 1, "first_look.further_turn_s": 2.5, "first_look.full_turn_s": 2},
    )
    assert config.first_look.rule().costs == LookCosts(first=1, further=2.5, full=2)


def test_costs_that_are_half_given_are_refused() -> None:
    with pytest.raises(ConfigError, match="first_turn_s, further_turn_s and full_turn_s go together; give all three"):
        override_config(RunConfig(), {"first_look.full_turn_s": 2})


def test_serving_may_take_the_shortcut_without_being_another_run() -> None:
    assert override_config(RunConfig(), {"first_look.mode": "auto"}).identity() == RunConfig().identity()
    assert override_config(RunConfig(), {"first_look.threshold": 0.5}).identity() != RunConfig().identity()
