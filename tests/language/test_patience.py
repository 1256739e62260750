"""Waiting and spending: back-off, Retry-After, requests a minute, tokens in all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.language.patience import LONGEST, Backoff, Pace, Purse, Spent, retry_after
from mien.language.talk import Usage


@given(st.integers(0, 10_000), st.floats(0, 1), st.one_of(st.none(), st.floats(0, 1e9)))
def test_waiting_doubles_within_bounds(attempt: int, luck: float, asked: float | None) -> None:
    backoff = Backoff(first=1.0, longest=60.0)
    seconds = backoff.seconds(attempt, asked, luck)
    own = min(60.0, 2.0 ** min(attempt, 30))
    assert seconds <= max(own, min(asked or 0, LONGEST))
    assert seconds >= own / 2
    assert asked is None or seconds >= min(asked, LONGEST)


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        (" 12 ", 12),
        ("99999999999999999999", LONGEST),
        ("Fri, 02 Jan 2026 03:04:35 GMT", 30),
        ("Fri, 02 Jan 2026 03:04:35 -0000", 30),
        ("Fri, 02 Jan 2026 03:04:00 GMT", 0),
        ("Fri, 02 Jan 2099 03:04:00 GMT", LONGEST),
        ("soon", None),
        ("-3", None),
        ("1e3", None),
        ("\u0663", None),  # a digit, but none of HTTP
        ("", None),
    ],
)
def test_a_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


def test_requests_come_evenly_whoever_asks() -> None:
    now, waits = [100.0], list[float]()
    pace = Pace(per_minute=30, clock=lambda: now[0], sleep=waits.append)
    for _ in range(4):
        pace.wait()
    assert waits == [2, 4, 6]  # the clock stands still, so each waits for all before it
    now[0] = 200.0
    pace.wait()
    assert waits == [2, 4, 6]


def test_a_limit_is_kept_by_many_at_once() -> None:
    """Requests of at most 10 tokens: 100 are never passed, whoever asks at the same time."""
    purse = Purse(most=100, largest=10)

    def spend(n: int) -> bool:
        try:
            with purse.request() as note:
                note(Usage(n % 5 + 3, 3))
        except Spent:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        let = list(pool.map(spend, range(60)))
    assert 8 < sum(let) < 60
    assert 80 < purse.spent <= 100


def test_what_earlier_calls_spent_counts() -> None:
    purse = Purse(most=100, spent=95, largest=10)
    with pytest.raises(Spent, match="95 of 100 tokens are spent"), purse.request():
        pass


def test_a_server_that_does_not_count_is_not_asked_twice_where_there_is_a_limit() -> None:
    purse = Purse(most=100, largest=10)
    with purse.request() as note:
        note(Usage(known=False))
    with pytest.raises(Spent, match="does not say how many"), purse.request():
        pass
    free = Purse()
    for _ in range(2):
        with free.request() as note:
            note(Usage(known=False))
