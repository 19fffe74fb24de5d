from dataclasses import replace
from pathlib import Path

import pytest

from visionthink.config import RunConfig, override_config
from visionthink.core.closer_look import NEAR_REGIONS, REGIONS
from visionthink.core.episode import AskModel, start
from visionthink.core.first_look import CallForecast, FirstLookMode
from visionthink.core.geometry import Size
from visionthink.episodes.prompting import ViewPolicy, prompting_of
from visionthink.errors import ConfigError, UserError

SIZE = Size(width=112, height=112)


@pytest.mark.parametrize(("policy", "side"), [("auto", 56), ("always_low", 56), ("always_high", 112)])
def test_policy_chooses_the_first_view(policy: ViewPolicy, side: int) -> None:
    command = start(prompting_of(RunConfig()).spec("what ?", SIZE, policy)).command
    assert isinstance(command, AskModel)
    (view,) = command.messages[0].views
    assert (view.size.width, view.size.height) == (side, side)


def test_only_the_model_that_decides_is_offered_the_tool() -> None:
    prompting = prompting_of(RunConfig())
    offers = {policy: prompting.spec("what ?", SIZE, policy).protocol.offers_tools for policy in POLICIES}
    assert offers == {"auto": True, "always_low": False, "always_high": False}


def test_unknown_protocol_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UserError, match="no protocol 'nope'; choose one of: general-v1"):
        prompting_of(override_config(RunConfig(), {"episode.protocol": "nope"}))


def test_settings_name_the_tools_in_the_order_in_which_the_model_is_told_of_them() -> None:
    config = override_config(
        RunConfig(), {"episode.tools": ["crop_image", "resize_image"], "episode.protocol": "tools-v1"}
    )
    spec = prompting_of(config).spec("what ?", SIZE)
    assert spec.toolbox.names == ("crop_image", "resize_image")
    command = start(spec).command
    assert isinstance(command, AskModel)
    system = command.messages[0].text
    assert 0 < system.index('"name": "crop_image"') < system.index('"name": "resize_image"')


def test_a_protocol_without_tools_gets_an_empty_box() -> None:
    config = override_config(RunConfig(), {"episode.protocol": "general-v1"})
    assert len(prompting_of(config).spec("what ?", SIZE).toolbox) == 0


@pytest.mark.parametrize(
    ("overrides", "want"),
    [
        ({"episode.tools": ["zoom"]}, "no tool 'zoom'; choose one of: resize_image, zoom_image, crop_image"),
        (
            {"episode.tools": []},
            "'compact-efficient-v1' offers tools, but episode.tools is empty; name some of: resize",
        ),
        ({"episode.tools": ["crop_image", "crop_image"]}, "two tools are named 'crop_image'"),
        ({"episode.direct_protocol": "efficient-v1"}, "direct_protocol 'efficient-v1' offers tools"),
    ],
    ids=["unknown", "none", "one twice", "tools for a fixed view"],
)
def test_tools_that_no_episode_can_use_are_refused(overrides: dict[str, object], want: str) -> None:
    with pytest.raises(UserError, match=want):
        prompting_of(override_config(RunConfig(), overrides))


PACKAGE = """
from dataclasses import replace
from visionthink.core import CropImage, get_protocol

class Peek(CropImage):
    @property
    def name(self):
        return "peek"

peek = Peek()
texts = replace(get_protocol("tools-v1"), name="peek-v1", user="peek : {question}")
"""


def install(folder: Path, entry_points: str) -> None:
    """Put a package beside this one, as an installer would."""
    (folder / "peeking.py").write_text(PACKAGE)
    (folder / "peeking-1.0.dist-info").mkdir()
    (folder / "peeking-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: peeking\nVersion: 1.0\n")
    (folder / "peeking-1.0.dist-info" / "entry_points.txt").write_text(entry_points)


def test_another_package_brings_tools_and_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "[visionthink.tools]\npeek=peeking:peek\n[visionthink.protocols]\npeek-v1=peeking:texts\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = override_config(RunConfig(), {"episode.tools": ["peek", "resize_image"], "episode.protocol": "peek-v1"})
    spec = prompting_of(config).spec("what ?", SIZE)
    assert (spec.toolbox.names, spec.protocol.user) == (("peek", "resize_image"), "peek : {question}")
    with pytest.raises(UserError, match="choose one of: peek, resize_image, zoom_image, crop_image"):
        prompting_of(override_config(config, {"episode.tools": ["nope"]}))


def test_a_package_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "[visionthink.tools]\npeek=peeking:gone\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"'peek' of the entry points visionthink\.tools cannot be loaded"):
        prompting_of(override_config(RunConfig(), {"episode.tools": ["peek"]}))
    assert prompting_of(RunConfig()).toolbox.names == ("resize_image",)  # what ships needs nobody else


POLICIES: tuple[ViewPolicy, ...] = ("auto", "always_low", "always_high")


READS = CallForecast(bias=0.0, weights={"read": 20.0, "color": -20.0})


@pytest.mark.parametrize(
    ("policy", "first_look", "question", "side"),
    [
        ("auto", "off", "read", 56),
        ("auto", "auto", "read", 112),
        ("auto", "auto", "color", 56),
        ("auto", "full", "color", 112),
        ("always_low", "full", "read", 56),
        ("always_high", "auto", "color", 112),
    ],
)
def test_first_look_chooses_the_first_view_where_the_model_decides(
    policy: ViewPolicy, first_look: FirstLookMode, question: str, side: int
) -> None:
    spec = prompting_of(RunConfig(), READS).spec(question, SIZE, policy, first_look)
    command = start(spec).command
    assert isinstance(command, AskModel)
    assert [view.size.width for view in command.messages[0].views] == [side]
    assert (spec.first_look is not None) is (policy == "auto" and first_look != "off")


@pytest.mark.parametrize(("first_look", "sides"), [("auto", [56, 56]), ("full", [112, 84])])
def test_a_forecast_is_not_asked_about_several_pictures(first_look: FirstLookMode, sides: list[int]) -> None:
    other = Size(width=84, height=112)
    spec = prompting_of(RunConfig(), READS).spec("read", SIZE, "auto", first_look, further_originals=(other,))
    command = start(spec).command
    assert isinstance(command, AskModel)
    assert [view.size.width for view in command.messages[0].views] == sides
    assert [view.picture for view in command.messages[0].views] == [0, 1]


def test_a_shortcut_is_the_episode_of_the_full_view() -> None:
    prompting = prompting_of(RunConfig(), READS)
    shortcut, full = prompting.spec("read", SIZE, "auto", "auto"), prompting.spec("read", SIZE, "always_high")
    assert len(shortcut.toolbox) == 0
    assert replace(shortcut, first_look=None, toolbox=full.toolbox) == full


def test_without_tools_there_is_no_call_to_save() -> None:
    prompting = prompting_of(override_config(RunConfig(), {"episode.protocol": "general-v1"}), READS)
    assert prompting.spec("read", SIZE, "auto", "full").first_view == "quarter"


def test_costs_of_the_settings_decide() -> None:
    costs = {"first_look.first_turn_s": 1.0, "first_look.further_turn_s": 1.0, "first_look.full_turn_s": 3.0}
    prompting = prompting_of(override_config(RunConfig(), costs), READS)
    assert prompting.spec("read", SIZE, "auto", "auto").first_view == "quarter"


def test_a_region_alone_is_one_turn_without_a_tool() -> None:
    config = override_config(
        RunConfig(), {"episode.tools": ["look_at"], "episode.protocol": "compact-region-v1", "episode.max_turns": 3}
    )
    spec = prompting_of(config).region_spec("what ?", SIZE, "bottom left")
    command = start(spec).command
    assert isinstance(command, AskModel)
    (view,) = command.messages[0].views
    assert view.box is not None and view.box.edges == (0, 56, 56, 112)
    assert (spec.max_turns, spec.protocol.offers_tools, len(spec.toolbox)) == (1, False, 0)


@pytest.mark.parametrize(
    ("tools", "want"),
    [(["resize_image"], ()), (["look_at"], REGIONS), (["crop_image", "look_near"], NEAR_REGIONS)],
    ids=["none", "quarters", "overlapping parts"],
)
def test_regions_are_those_of_the_tool_on_offer(tools: list[str], want: tuple[str, ...]) -> None:
    config = override_config(RunConfig(), {"episode.tools": tools, "episode.protocol": "compact-region-v1"})
    assert prompting_of(config).regions == want
