import json
from pathlib import Path

import pytest
from tests.fakes.stage_task import tiny_config

from visionthink.config import override_config
from visionthink.datasets.world import generate
from visionthink.episodes.prompting import prompting_of
from visionthink.errors import ConfigError, DataError
from visionthink.model.card import model_card, with_card
from visionthink.serving.stage import first_needed

CONFIG = tiny_config()


def test_card_of_a_model_wins_over_the_settings(tmp_path: Path) -> None:
    card = {"episode": {**CONFIG.episode.model_dump(), "max_turns": 3}, "view": {"max_pixels": 200704}}
    (tmp_path / "visionthink.json").write_text(json.dumps(card))
    config = with_card(tmp_path, CONFIG)
    assert (config.episode.max_turns, config.view.max_pixels) == (3, 200704)
    assert config.train == CONFIG.train


def test_tools_travel_with_the_model(tmp_path: Path) -> None:
    taught = override_config(
        CONFIG, {"episode.tools": ["crop_image", "zoom_image"], "episode.protocol": "compact-tools-v1"}
    )
    (tmp_path / "visionthink.json").write_text(json.dumps(model_card(taught)))
    found = prompting_of(with_card(tmp_path, CONFIG))
    assert (found.toolbox.names, found.protocol.name) == (("crop_image", "zoom_image"), "compact-tools-v1")


def test_model_without_a_card_is_asked_as_the_settings_say(tmp_path: Path) -> None:
    assert with_card(tmp_path, CONFIG) == CONFIG


@pytest.mark.parametrize(("text", "error"), [("{", DataError), ('{"view": {"gone": 1}}', ConfigError)])
def test_card_that_is_damaged_is_refused(tmp_path: Path, text: str, error: type[Exception]) -> None:
    (tmp_path / "visionthink.json").write_text(text)
    with pytest.raises(error):
        with_card(tmp_path, CONFIG)


def test_first_needed_is_the_question_that_shows_most() -> None:
    samples = list(generate("test", 12, seed=0, families=["color", "mark"]))
    assert first_needed(samples) == next(sample for sample in samples if sample.needs_high_res)
    coarse = [sample for sample in samples if not sample.needs_high_res]
    assert first_needed(coarse) == coarse[0]
