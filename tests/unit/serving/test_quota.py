import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionthink.serving.api_error import ApiError
from visionthink.serving.quota import Bucket, Quota, QuotaRule


def refusal(quota: Quota, now_s: float) -> ApiError:
    with pytest.raises(ApiError) as caught:
        quota.begin(now_s)
    return caught.value


def test_a_key_has_so_many_requests_in_flight() -> None:
    quota = Quota(QuotaRule(max_in_flight=2), now_s=0.0)
    quota.begin(0.0)
    quota.begin(0.0)
    error = refusal(quota, 0.0)
    assert (error.status, error.code, error.retry_after_s) == (429, "too_many_in_flight", 1)
    quota.end()
    quota.begin(0.0)
    assert quota.num_in_flight == 2 and quota.headers(0.0) == {}


def test_a_minute_holds_so_many_and_says_when_the_next_is_let_in() -> None:
    quota = Quota(QuotaRule(requests_per_minute=3), now_s=100.0)
    for _ in range(3):
        quota.begin(100.0)
    error = refusal(quota, 100.0)
    assert (error.status, error.code, error.retry_after_s) == (429, "rate_limit_exceeded", 20)
    assert "3 requests a minute" in str(error)
    assert refusal(quota, 119.9).retry_after_s == 1
    quota.begin(120.1)


def test_a_refused_request_is_not_counted() -> None:
    quota = Quota(QuotaRule(max_in_flight=1, requests_per_minute=2), now_s=0.0)
    quota.begin(0.0)
    for _ in range(5):
        refusal(quota, 0.0)
    quota.end()
    quota.begin(0.0)
    assert quota.num_in_flight == 1


def test_headers_are_openais() -> None:
    quota = Quota(QuotaRule(requests_per_minute=60), now_s=0.0)
    quota.begin(0.0)
    assert quota.headers(0.25) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "0.750s",
    }


def test_another_rule_keeps_what_is_under_way() -> None:
    quota = Quota(QuotaRule(max_in_flight=5), now_s=0.0)
    quota.begin(0.0)
    changed = quota.under(QuotaRule(max_in_flight=1, requests_per_minute=9), now_s=1.0)
    assert refusal(changed, 1.0).code == "too_many_in_flight"
    assert changed.headers(1.0)["x-ratelimit-remaining-requests"] == "9"


@given(
    st.integers(1, 120),
    st.lists(st.floats(0, 400, allow_nan=False), max_size=200).map(sorted),
)
def test_no_minute_holds_more_than_two_minutes_worth(per_minute: int, times: list[float]) -> None:
    bucket = Bucket(per_minute, now_s=0.0)
    taken = [now_s for now_s in times if bucket.take(now_s)]
    for start_s in taken:
        assert sum(start_s <= at_s < start_s + 60.0 for at_s in taken) <= 2 * per_minute


@given(st.integers(1, 60), st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=100))
def test_a_clock_that_goes_back_gives_nothing_away(per_minute: int, times: list[float]) -> None:
    bucket = Bucket(per_minute, now_s=30.0)
    assert sum(bucket.take(now_s) for now_s in times) <= per_minute


@given(st.integers(1, 10_000), st.integers(0, 20_000))
def test_who_waits_as_long_as_told_is_let_in(per_minute: int, num_before: int) -> None:
    bucket = Bucket(per_minute, now_s=0.0)
    for _ in range(min(num_before, per_minute)):
        bucket.take(0.0)
    wait_s = bucket.seconds_until(1.0, 0.0)
    assert bucket.take(wait_s + 1e-6)
