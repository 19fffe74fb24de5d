"""No message grows with what it speaks of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.core.excerpt import excerpt, listed, shown


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("short", "short", id="short"),
        pytest.param("a" * 12 + "z" * 12, "aaaaaaaaaa ... zzzzz", id="long: beginning and end"),
        pytest.param("two\nlines", "two lines", id="one line"),
        pytest.param(
            "Sn\u00edmek v\u00a013.05\u202fAM", "Sn\u00edmek v\u00a013.05\u202fAM", id="names of people's files"
        ),
        pytest.param("half \udce9", "half \\udce9", id="half a character"),
        pytest.param("bell \x07", "bell \\x07", id="control character"),
    ],
)
def test_excerpt_is_one_short_line(text: str, want: str) -> None:
    assert excerpt(text, 20) == want


@given(text=st.text(max_size=400) | st.text(alphabet=st.characters(categories=["Cs", "Cc"]), max_size=400))
def test_excerpt_can_be_written_and_is_bounded(text: str) -> None:
    got = excerpt(text, 100)
    assert len(got.encode()) <= 100 * 6
    assert "\n" not in got


@pytest.mark.parametrize(
    ("value", "want"),
    [
        pytest.param("yes", "'yes'", id="short text"),
        pytest.param(7.5, "7.5", id="number"),
        pytest.param(b"\x89PNG" + bytes(996), "b'\\x89PNG\\ ... \\x00'... (1000 bytes)", id="long bytes"),
        pytest.param("x" * 400_000, "'xxxxxxxxxx'... (400000 characters)", id="long text"),
        pytest.param(list(range(1000)), "[0, 1, 2,  ...  999]", id="long list"),
    ],
)
def test_shown_is_the_short_repr(value: object, want: str) -> None:
    assert shown(value, 20) == want


@pytest.mark.parametrize(
    ("names", "want"), [([], "none"), (["a", "b"], "a, b"), (["a", "b", "c", "d"], "a, b and 2 more")]
)
def test_listed_says_how_many_more(names: list[str], want: str) -> None:
    assert listed(names, 2) == want
