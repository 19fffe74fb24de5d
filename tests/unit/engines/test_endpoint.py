"""Which server is asked: addresses as people write them, sessions that stay, servers that go and come back."""

import pytest

from visionthink.engines.endpoint import Address, Balance, parse_place
from visionthink.errors import ConfigError


@pytest.mark.parametrize(
    ("place", "urls", "model"),
    [
        ("http://a:8000/v1?model=m", ["http://a:8000/v1"], "m"),
        ("http://a:8000/v1/?model=org/name-7B", ["http://a:8000/v1"], "org/name-7B"),
        ("https://[::1]:8000/v1?model=m", ["https://[::1]:8000/v1"], "m"),
        ("http://a/v1,http://b/v1?model=m", ["http://a/v1", "http://b/v1"], "m"),
        ("http://a/v1?model=m,https://b/v1?model=m", ["http://a/v1", "https://b/v1"], "m"),
        ("http://a/v1?model=x,y", ["http://a/v1"], "x,y"),
        ("http://a/v1?model=a%26b", ["http://a/v1"], "a&b"),
    ],
)
def test_a_place_is_read(place: str, urls: list[str], model: str) -> None:
    got = parse_place(place)
    assert ([address.base_url for address in got.addresses], got.model) == (urls, model)


def test_other_fields_of_an_address_go_with_every_request() -> None:
    place = "https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21&model=gpt"
    assert parse_place(place).addresses == (
        Address(base_url="https://x.openai.azure.com/openai/deployments/d", query={"api-version": "2024-10-21"}),
    )


@pytest.mark.parametrize(
    "place",
    ["", "host/v1?model=m", "ftp://a?model=m", "http://?model=m", "http://a/v1", "http://a?model=m,http://b?model=n"],
)
def test_a_place_without_one_server_and_one_model_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="openai:http://HOST:PORT"):
        parse_place(place)


def test_a_session_stays_and_a_new_one_goes_where_there_is_least_to_do() -> None:
    balance = Balance(3)
    first = balance.choose("a", 0.0)
    balance.servers[first].num_at_work = 5
    second = balance.choose("b", 0.0)
    assert second != first
    assert [balance.choose("a", 0.0) for _ in range(3)] == [first] * 3
    assert balance.choose(None, 0.0) != first


def test_a_server_that_does_not_answer_is_left_alone_until_its_time() -> None:
    balance = Balance(2)
    down = balance.choose("a", 0.0)
    balance.failed(down, until_s=5.0)
    moved = balance.choose("a", 1.0)
    assert moved != down and balance.has_other(down, 1.0) and not balance.has_other(moved, 1.0)
    assert balance.choose("a", 9.0) == moved, "its pictures are there now"
    assert {balance.choose(None, 9.0) for _ in range(1)} <= {0, 1}
    balance.servers[moved].num_at_work = 1
    assert balance.choose("new", 6.0) == down, "asked again after its time"


def test_when_none_is_up_the_one_that_was_left_alone_first_is_tried() -> None:
    balance = Balance(2)
    balance.failed(0, until_s=9.0)
    balance.failed(1, until_s=5.0)
    assert balance.choose("a", 1.0) == 1
    balance.answered(1)
    assert balance.choose("b", 1.0) == 1 and balance.servers[1].num_failures == 0
