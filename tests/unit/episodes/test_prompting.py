import pytest

from visionthink.config import RunConfig, override_config
from visionthink.core.episode import AskModel, start
from visionthink.core.geometry import Size
from visionthink.episodes.prompting import ViewPolicy, prompting_of
from visionthink.errors import UserError

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


POLICIES: tuple[ViewPolicy, ...] = ("auto", "always_low", "always_high")
