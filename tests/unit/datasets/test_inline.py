"""Pictures as text in a row."""

import base64
import textwrap
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.datasets.conftest import png

from visionthink.datasets.inline import inline_picture
from visionthink.errors import DataError

TEXT = base64.b64encode(png()).decode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"data:image/png;base64,{TEXT}", id="plain"),
        pytest.param(f"DATA:IMAGE/PNG;BASE64,{TEXT}", id="upper case"),
        pytest.param(f"data:image/png;charset=utf-8;base64,{TEXT}", id="charset"),
        pytest.param(f"data:image/png;name=a.png;base64,{TEXT}", id="name"),
        pytest.param(f"data:;base64,{TEXT}", id="no type"),
        pytest.param(f"data:application/octet-stream;base64,{TEXT}", id="bytes"),
        pytest.param(f" data:image/png;base64, {TEXT}\n", id="blanks"),
        pytest.param("data:image/png;base64," + "\n".join(textwrap.wrap(TEXT, 76)), id="line breaks"),
        pytest.param(f"data:image/png;base64,{quote(TEXT, safe='')}", id="escapes"),
        pytest.param(f"data:image/png;base64,{TEXT.rstrip('=')}", id="no padding"),
        pytest.param(f"data:image/png;base64,{TEXT.replace('+', '-').replace('/', '_')}", id="URL alphabet"),
        pytest.param(f"data:image/png,{quote(png(), safe='')}", id="no base64"),
        pytest.param(TEXT, id="bare base64"),
        pytest.param("\n".join(textwrap.wrap(TEXT, 64)), id="bare base64 in lines"),
    ],
)
def test_picture_is_read_from_text(text: str) -> None:
    assert inline_picture(text) == png()


@pytest.mark.parametrize(
    "text", ["a.png", "/9j/photo.jpg", "/9j/" + "x" * 80 + "/1.png", "database/1.png", "data/1.png"]
)
def test_path_is_no_picture(text: str) -> None:
    assert inline_picture(text) is None


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("data:image/png;base64,", "is empty"),
        ("data:image/png;base64," + "*" * 400_000, "a text of 400022 characters: the base64 of the data URL is broken"),
        ("data:text/html;base64,PGh0bWw+", "of the type 'text/html'"),
    ],
)
def test_broken_data_url_is_told_in_short(text: str, want: str) -> None:
    with pytest.raises(DataError, match=want) as caught:
        inline_picture(text)
    assert len(str(caught.value)) < 200


@given(data=st.binary(min_size=1, max_size=200))
def test_any_bytes_come_back(data: bytes) -> None:
    assert inline_picture(f"data:image/png;base64,{base64.b64encode(data).decode()}") == data
