"""The rate follows the server: two servers of ten times different strength under one setting, in a play whose
time is handed in."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ottoscaler.kube.rate import LEAST_RATE, Rate

QUICK = 0.01


@dataclass
class Server:
    """Takes so many calls in each tenth of a second, and refuses the others."""

    carries: float

    def take(self, calls: int) -> tuple[int, int]:
        taken = min(calls, int(self.carries / 10))
        return taken, calls - taken


def play(server: Server, setting: float, seconds: int) -> tuple[float, float, float]:
    """Calls carried a second and the share refused in the last half, and the rate, where work never ends."""
    rate, owed = Rate(setting, setting * 8), 0.0
    carried = refused = 0
    for tick in range(seconds * 10):
        owed += rate.per_second / 10
        calls, owed = int(owed), owed % 1
        taken, turned_down = server.take(calls)
        for status, count in ((201, taken), (429, turned_down)):
            for _ in range(count):
                rate.answered(tick / 10, status, QUICK, patient=False, holds_back=True)
        if tick >= seconds * 5:
            carried, refused = carried + taken, refused + turned_down
    return carried / (seconds / 2), refused / max(1, carried + refused), rate.per_second


@pytest.mark.parametrize("carries", [200, 2000])
def test_rate_follows_a_server_that_carries_so_much_with_the_same_setting(carries: int) -> None:
    carried, refused, rate = play(Server(carries), 500, 60)
    assert carried > 0.8 * carries, "it rises with care near what was too much"
    assert refused < 0.05
    assert rate <= 1.3 * carries


def test_rate_is_not_raised_beyond_its_setting_by_calls_that_it_does_not_hold_back() -> None:
    rate = Rate(500, 500 * 8)
    for _ in range(5000):
        rate.answered(1.0, 201, QUICK, patient=False, holds_back=False)
    assert rate.per_second == 500
    rate.answered(2.0, 201, QUICK, patient=False, holds_back=True)
    rate.answered(3.0, 201, QUICK, patient=False, holds_back=False)
    assert rate.per_second > 500, "nor do they lower it"


def test_rate_has_a_most_and_a_least() -> None:
    rate = Rate(100, 100 * 8)
    for _ in range(10_000):
        rate.answered(1.0, 201, QUICK, patient=False, holds_back=True)
    assert rate.per_second == 800
    for second in range(100):
        rate.answered(10.0 + second, 503, QUICK, patient=False, holds_back=True)
    assert rate.per_second == LEAST_RATE


def test_slow_answers_take_back_what_is_beyond_the_setting_and_no_more() -> None:
    rate = Rate(100, 100 * 8)
    for _ in range(200):
        rate.answered(1.0, 201, QUICK, patient=False, holds_back=True)
    assert rate.per_second == 200
    for second in range(10):
        rate.answered(10.0 + second, 200, 0.7, patient=False, holds_back=True)
    assert rate.per_second == 100
    rate.answered(30.0, 503, QUICK, patient=False, holds_back=True)
    rate.answered(40.0, 200, 0.7, patient=False, holds_back=True)
    assert rate.per_second < 51, "nor do they lift what a refusal has lowered up to the setting"


def test_create_that_admission_holds_up_neither_raises_nor_lowers() -> None:
    rate = Rate(100, 100 * 8)
    rate.answered(1.0, 201, 30.0, patient=True, holds_back=True)
    assert rate.per_second == 100
    rate.answered(2.0, 201, QUICK, patient=True, holds_back=True)
    rate.answered(3.0, 201, 30.0, patient=True, holds_back=True)
    assert rate.per_second > 100


def test_error_of_the_server_that_says_nothing_of_its_strength_changes_nothing() -> None:
    rate = Rate(100, 100 * 8)
    rate.answered(1.0, 500, QUICK, patient=False, holds_back=True)
    assert rate.per_second == 100
