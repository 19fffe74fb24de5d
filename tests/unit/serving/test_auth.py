import hashlib
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.errors import ConfigError
from visionthink.serving.api_error import ApiError
from visionthink.serving.auth import KeyFile, caller_of, read_keys
from visionthink.serving.quota import QuotaRule

RULE = QuotaRule(max_in_flight=9)


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


ALICE = f'[alice]\nsha256 = ["{digest("sk-alice")}"]\n'
BOB = f'[bob]\nsha256 = ["{digest("sk-bob")}", "{digest("sk-new")}"]\nmax_in_flight = 2\nrequests_per_minute = 60\n'


@pytest.mark.parametrize("header", ["Bearer sk-bob", "bearer sk-new", "BEARER  sk-bob "])
def test_a_key_is_known_by_its_hash_alone(header: str) -> None:
    caller = caller_of(header, read_keys(ALICE + BOB, RULE))
    assert caller.name == "bob" and caller.rule == QuotaRule(max_in_flight=2, requests_per_minute=60)


def test_what_an_entry_does_not_say_the_settings_say() -> None:
    assert caller_of("Bearer sk-alice", read_keys(ALICE, RULE)).rule == RULE


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "missing_api_key"),
        ("Bearer", "missing_api_key"),
        ("Bearer  ", "missing_api_key"),
        ("Basic c2stYWxpY2U=", "missing_api_key"),
        ("sk-alice", "missing_api_key"),
        ("Bearer sk-mallory", "invalid_api_key"),
        (f"Bearer {digest('sk-alice')}", "invalid_api_key"),
        ("Bearer sk-alice\udcff", "invalid_api_key"),
        ("Bearer ключ", "invalid_api_key"),
    ],
)
def test_without_a_key_one_is_told_what_to_send(header: str, code: str) -> None:
    with pytest.raises(ApiError, match="Authorization: Bearer YOUR_KEY") as caught:
        caller_of(header, read_keys(ALICE, RULE))
    assert (caught.value.status, caught.value.code) == (401, code)
    assert caught.value.body()["error"]["type"] == "authentication_error"
    assert "sk-" not in str(caught.value)


@given(st.text())
def test_nobody_guesses_a_key(text: str) -> None:
    assert (read_keys(ALICE, RULE).caller_of(text) is not None) == (text == "sk-alice")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "there is no key"),
        ("[alice", "no TOML"),
        ('[alice]\nsha256 = ["sk-alice"]', r"alice\.sha256\.0.*sha256sum"),
        ("[alice]\nsha256 = []", "alice.sha256"),
        ("[alice]\nmax_in_flight = 3", "sha256sum"),
        (f'[alice]\nsha256 = ["{digest("a")}"]\nmax_in_fligth = 3', "max_in_fligth"),
        (f'[alice]\nsha256 = ["{digest("a")}"]\nmax_in_flight = 0', "max_in_flight"),
        (f'["a b"]\nsha256 = ["{digest("a")}"]', "a b"),
        (f'[alice]\nsha256 = ["{digest("a")}"]\n[bob]\nsha256 = ["{digest("a")}"]', "two entries"),
    ],
)
def test_a_file_without_keys_is_told_apart(text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        read_keys(text, RULE)
    assert "sk-alice" not in str(caught.value), "a key that was written by mistake does not reach the log"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_file_that_changes_is_read_again_within_a_second(tmp_path: Path) -> None:
    """As a Secret changes: the file is a link to one in a folder, and the link is put in place of the old one."""
    for name, text in (("one", ALICE), ("two", BOB)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys.toml").write_text(text)
    place = tmp_path / "data"
    place.symlink_to("one")
    clock = Clock()
    keys = KeyFile(place / "keys.toml", RULE, clock=clock)
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", place)
    clock.now_s = 0.5
    assert keys.keys.names == {"alice"}
    clock.now_s = 1.0
    assert keys.keys.names == {"bob"}


def test_a_file_that_breaks_leaves_the_keys_in_force_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, clock = tmp_path / "keys.toml", Clock()
    file.write_text(ALICE)
    keys = KeyFile(file, RULE, clock=clock)
    with caplog.at_level(logging.INFO, "visionthink.serving.auth"):
        for text in ("[broken", None):
            file.unlink()
            if text is not None:
                file.write_text(text)
            for _ in range(3):
                clock.now_s += 1.0
                assert keys.keys.names == {"alice"}
        file.write_text(ALICE + BOB)
        clock.now_s += 1.0
        assert keys.keys.names == {"alice", "bob"}
    levels = [record.levelname for record in caplog.records]
    assert levels == ["ERROR", "ERROR", "INFO"] and "stay in force" in caplog.text


def test_a_server_does_not_start_without_its_keys(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        KeyFile(tmp_path / "none.toml", RULE)
