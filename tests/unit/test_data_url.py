"""A picture comes out of every form of data URL that clients send, and out of nothing else."""

import base64
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.data_url import data_url_bytes, is_data_url
from visionthink.errors import DataError

PNG = b"\x89PNG\r\n\x1a\n\x00\xfb\xef\xbe\xff\xff\xff\x01"  # its base64 holds +, / and padding
TEXT = base64.b64encode(PNG).decode()


def test_the_example_holds_what_makes_forms_differ() -> None:
    assert {"+", "/"} <= set(TEXT) and len(PNG) % 3


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{TEXT}",
        f"data:image/jpg;base64,{TEXT}",
        f"data:image/svg+xml;base64,{TEXT}",
        f"DATA:IMAGE/PNG;BASE64,{TEXT}",
        f"data:image/png;charset=utf-8;base64,{TEXT}",
        f"data:image/png;name=a.png;base64,{TEXT}",
        f'data:image/png;name="a, b.png";base64,{TEXT}',
        f"data:image/png;name=a%2C%20b.png;base64,{TEXT}",
        f'data:image/png;name="a.png;base64,{TEXT}',
        f"data:image/png;base64;charset=utf-8,{TEXT}",
        f"data:image/png; base64,{TEXT}",
        f"data: image/png ; charset=binary ; base64 , {TEXT}",
        f"data:;base64,{TEXT}",
        f"data:image;base64,{TEXT}",
        f"data:application/octet-stream;base64,{TEXT}",
        f"  data:image/png;base64,{TEXT}\n",
        "data:image/png;base64," + "\n".join(TEXT[i : i + 4] for i in range(0, len(TEXT), 4)),
        "data:image/png;base64," + "\r\n".join(TEXT[i : i + 7] for i in range(0, len(TEXT), 7)) + "\r\n",
        "data:image/png;base64," + TEXT.rstrip("="),
        "data:image/png;base64," + TEXT + "==",
        "data:image/png;base64," + base64.urlsafe_b64encode(PNG).decode(),
        "data:image/png;base64," + base64.urlsafe_b64encode(PNG).decode().rstrip("="),
        "data:image/png;base64," + quote(TEXT, safe=""),
        "data:" + quote(f"image/png;base64,{TEXT}", safe=""),
        f"data:image%2Fpng;base64,{TEXT}",
        f"data:image/png;base64,{TEXT}#page=1",
        "data:image/png," + quote(PNG),
    ],
)
def test_every_form_gives_the_same_bytes(url: str) -> None:
    assert is_data_url(url) and data_url_bytes(url) == PNG


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("data:image/png;base64", "no comma"),
        ("data:", "no comma"),
        ("data:" + "x" * 5000, "no comma"),
        ("data:text/html;base64,aGk=", "'text/html'"),
        ("data:application/pdf;base64,aGk=", "'application/pdf'"),
        ("data:video/mp4;base64,aGk=", "'video/mp4'"),
        ("data:" + "v" * 900 + ";base64,aGk=", "'vvv"),
        ("data:image/png;base64,", "is empty"),
        ("data:,", "is empty"),
        ("data:;base64,====", "is empty"),
        ("data:image/png;base64,a$bc", "broken"),
        ("data:image/png;base64,é", "broken"),
        ("data:image/png;base64,\\n", "broken"),
        ("data:image/png;base64,aGk=aGk=", "broken"),
        ("data:image/png;base64,aGkaa", "cut off"),
        ("data:image/png;base64,%%%", "cut off|broken"),
        ("data:image/png;base64,\ud800", "cut off|broken"),
        ("data:image/png," + "a" * 2**21, "as base64"),
    ],
)
def test_what_is_no_picture_is_told_in_few_words(url: str, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        data_url_bytes(url)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("url", ["", "http://a/b.png", "file:///etc/passwd", "datax:,", TEXT, "blob:data:,"])
def test_other_urls_are_no_data_urls(url: str) -> None:
    assert not is_data_url(url)


_WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=9).filter(lambda word: word != "base64")
_PARAM = st.builds(lambda key, value: f";{key}={value}", _WORD, _WORD)


@given(
    data=st.binary(min_size=1, max_size=200),
    kind=st.sampled_from(["image/png", "Image/JPEG", "image/webp", "", "image"]),
    params=st.lists(_PARAM, max_size=3),
    mark=st.sampled_from([";base64", ";BASE64", "; base64 "]),
    is_url_safe=st.booleans(),
    is_padded=st.booleans(),
    is_quoted=st.booleans(),
    width=st.integers(1, 80),
    end=st.sampled_from(["\n", "\r\n", " ", "\t", ""]),
)
def test_what_was_written_is_read(
    data: bytes,
    kind: str,
    params: list[str],
    mark: str,
    is_url_safe: bool,
    is_padded: bool,
    is_quoted: bool,
    width: int,
    end: str,
) -> None:
    text = (base64.urlsafe_b64encode if is_url_safe else base64.b64encode)(data).decode()
    text = text if is_padded else text.rstrip("=")
    text = quote(text, safe="") if is_quoted else text
    if not is_quoted:
        text = end.join(text[i : i + width] for i in range(0, len(text), width))
    assert data_url_bytes(f"data:{kind}{''.join(params)}{mark},{text}") == data


@given(rest=st.text(max_size=80))
def test_any_text_gives_bytes_or_a_data_error(rest: str) -> None:
    try:
        assert isinstance(data_url_bytes("data:" + rest), bytes)
    except DataError as error:
        assert len(str(error)) < 300


@given(text=st.text("ABCD+/=$. \n", max_size=40))
def test_base64_is_never_skipped_over(text: str) -> None:
    """A character outside of the alphabet is an error, wherever it stands."""
    url = f"data:image/png;base64,{text}"
    if set(text) & set("$."):
        with pytest.raises(DataError):
            data_url_bytes(url)


@pytest.mark.parametrize("junk", ['"' * 5_000_000, ";" * 5_000_000, "%" * 5_000_000, "a" * 5_000_000, '"a' * 2_500_000])
@pytest.mark.parametrize("form", ["data:{}", "data:image/png;{}", "data:image/png;base64,{}", "data:,{}"])
def test_hostile_text_costs_little(form: str, junk: str) -> None:
    start_s = time.perf_counter()
    try:
        data_url_bytes(form.format(junk))
    except DataError as error:
        assert len(str(error)) < 300
    assert time.perf_counter() - start_s < 1.0
