"""What a server refuses is said in another way where nothing changes that a caller relies on, or not at all."""

import pytest

from visionthink.engines.dialect import ChatSampling, Dialect, adapted

GREEDY = ChatSampling(temperature=0.0, top_p=1.0, max_tokens=9, seed=3)
DRAWN = ChatSampling(temperature=1.0, top_p=1.0, max_tokens=9, seed=3)
NO_MAX_TOKENS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
NO_TEMPERATURE = (
    "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported."
)


def test_fields_are_those_that_every_server_knows() -> None:
    want = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 9, "seed": 3}
    assert Dialect().fields(GREEDY) == want
    assert "seed" not in Dialect().fields(ChatSampling(temperature=0.0, top_p=1.0, max_tokens=9, seed=None))


@pytest.mark.parametrize(
    "complaint", [NO_MAX_TOKENS, "max_tokens is not supported", "unknown field max_tokens", "use max_completion_tokens"]
)
def test_the_token_limit_has_two_names(complaint: str) -> None:
    other = adapted(Dialect(), complaint, GREEDY, is_wish=False)
    assert other is not None and other.fields(GREEDY)["max_completion_tokens"] == 9
    assert "max_tokens" not in other.fields(GREEDY)
    assert adapted(other, complaint, GREEDY, is_wish=True) is None, "there is no third name"


@pytest.mark.parametrize(
    ("complaint", "sampling", "is_wish", "gone"),
    [
        (NO_TEMPERATURE, GREEDY, True, "temperature"),
        (NO_TEMPERATURE, GREEDY, False, None),
        (NO_TEMPERATURE, DRAWN, False, "temperature"),
        ("Unrecognized request argument supplied: seed", GREEDY, False, "seed"),
        ("top_p is not supported", GREEDY, False, "top_p"),
        ("max_tokens must be at most 5", GREEDY, True, None),
        ("this model's maximum context length is 100", GREEDY, True, None),
        ("the image is broken", GREEDY, True, None),
    ],
)
def test_a_field_is_left_out_only_where_nothing_changes(
    complaint: str, sampling: ChatSampling, is_wish: bool, gone: str | None
) -> None:
    other = adapted(Dialect(), complaint, sampling, is_wish=is_wish)
    assert (other is None) is (gone is None)
    if other is not None and gone is not None:
        assert gone not in other.fields(sampling)
