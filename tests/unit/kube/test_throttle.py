"""The limits on calls to the API server, without an API server."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random
from unittest.mock import patch

import pytest

from ottoscaler.kube.places import Place, Places, event_may_take
from ottoscaler.kube.rate import LEAST_RATE
from ottoscaler.kube.throttle import CREATES, LOGS, PROGRESS_SECONDS, Throttle, Turn
from ottoscaler.telemetry.health import STALL_SECONDS, Health
from tests.harness.clock import Clock
from tests.harness.waiting import wait_for


def turns(throttle: Throttle, event: str, count: int, profile: str = "default") -> list[Turn]:
    """So many creates of one event that have asked for their turn."""
    return [Turn(throttle, event, profile).__enter__() for _ in range(count)]


def ready(asked: list[Turn]) -> int:
    """How many of them may be sent now."""
    return sum(turn.ready(0) for turn in asked)


def test_creates_of_one_event_that_wait_all_have_their_turn() -> None:
    places = Places(3)
    first, second, third = (places.ask("1-0") for _ in range(3))
    assert (first.held, second.held, third.held) == (True, False, False)
    places.leave(first)
    assert (second.held, third.held) == (True, False)
    places.leave(second)
    assert third.held


def test_place_that_is_given_back_wakes_who_waits_for_it() -> None:
    places = Places(2)
    first, second = places.ask("1-0"), places.ask("1-0")
    began = threading.Event()

    def wait() -> bool:
        began.set()
        return second.wait(20.0)

    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(wait)
        assert began.wait(10.0)
        assert not waits.done()
        places.leave(first)
        assert waits.result(10.0)


def test_place_that_nobody_waits_for_any_more_is_granted_to_nobody_and_frees_none() -> None:
    places = Places(4)
    held = [places.ask("1-0"), places.ask("1-0")]
    given_up, waits, other = places.ask("1-0"), places.ask("1-0"), places.ask("2-0")
    places.leave(given_up)
    assert (given_up.held, waits.held, other.held) == (False, False, False)
    places.leave(held[0])
    assert (given_up.held, waits.held, other.held) == (False, True, False)


def test_no_place_is_waited_for_that_may_be_had() -> None:
    random, places, asked = Random(7), Places(7), list[Place]()
    for _ in range(2000):
        if len(asked) < 12 and random.random() < 0.6:
            event = random.randrange(5)
            asked.append(places.ask(f"{event}-0", f"profile {event % 2}"))
        elif asked:
            places.leave(asked.pop(random.randrange(len(asked))))
        held = [one for one in asked if one.held]
        events, profiles = Counter(one.event for one in held), Counter(one.profile for one in held)
        for one in asked:
            free = event_may_take(7 - len(held), profiles[one.profile], events[one.event])
            assert one.held or not free


def test_event_whose_turn_it_was_waits_behind_the_others() -> None:
    places = Places(3)
    busy = [places.ask("1-0"), places.ask("2-0")]
    first, second = places.ask("3-0"), places.ask("3-0")
    other = places.ask("4-0")
    places.leave(busy[0])
    assert (first.held, second.held, other.held) == (True, False, False)
    places.leave(first)
    assert (second.held, other.held) == (False, True)


def test_429_halves_the_rate_once_however_many_answers_bring_it() -> None:
    throttle = Throttle(400, 100)
    for _ in range(32):
        throttle.answered(429, 0.01)
    assert throttle.rate == 200


def test_good_answers_raise_the_rate_again_up_to_its_setting() -> None:
    throttle = Throttle(100, 100)
    throttle.answered(429, 0.01)
    for _ in range(1000):
        throttle.answered(201, 0.01)
    assert throttle.rate == 100


def test_rate_rises_beyond_its_setting_before_a_create_waits_for_it() -> None:
    throttle = Throttle(0.1, 10, most=800)  # no token comes while this runs
    with ExitStack() as held:
        for turn in range(4):
            assert held.enter_context(Turn(throttle, f"{turn}-0", "default")).ready(1)
        throttle.answered(201, 0.01)
        assert throttle.rate == 0.1, "most of the burst is left"
        for turn in range(4, 6):
            assert held.enter_context(Turn(throttle, f"{turn}-0", "default")).ready(1)
        throttle.answered(201, 0.01)
    assert throttle.rate > 0.1


def test_idle_time_saves_up_no_more_than_the_burst() -> None:
    clock = Clock()
    with patch("ottoscaler.kube.throttle.time.monotonic", clock):
        throttle = Throttle(100, 10)
        clock.now += 3600
        asked = turns(throttle, "1-0", 20)
        assert ready(asked) == 10


def test_slow_answers_lower_the_rate() -> None:
    throttle = Throttle(100, 100)
    throttle.answered(201, 5.0)
    assert throttle.rate == 80


def test_rate_never_falls_below_its_floor() -> None:
    throttle = Throttle(6, 100)
    throttle.answered(429, 0.01)
    assert throttle.rate == LEAST_RATE


def test_deletes_and_looks_find_a_place_while_every_create_hangs() -> None:
    throttle = Throttle(1000, 1000)
    for event in range(10):
        turns(throttle, f"{event}-0", 100, profile=f"profile-{event}")
    with throttle.delete("1-0"), throttle.look("1-0"):
        pass


def test_hanging_creates_of_one_event_leave_places_to_the_others() -> None:
    throttle = Throttle(1000, 1000)
    assert ready(turns(throttle, "1-0", 500)) == CREATES // 3
    assert ready(turns(throttle, "2-0", 1)) == 1


def test_each_event_that_hangs_leaves_places_to_the_next() -> None:
    throttle = Throttle(1000, 1000)
    assert [ready(turns(throttle, f"{n}-0", 500, profile="one")) for n in range(3)] == [32, 11, 4]
    assert [ready(turns(throttle, f"1{n}-0", 500, profile=f"{n}")) for n in range(3)] == [17, 11, 7]
    assert ready(turns(throttle, "9-0", 1, profile="other")) == 1


def test_event_alone_has_as_many_creates_in_flight_as_a_real_server_can_use() -> None:
    assert ready(turns(Throttle(1000, 1000), "1-0", 500)) >= 32


def test_hanging_creates_of_one_profile_leave_half_of_the_places_to_the_others() -> None:
    throttle = Throttle(1000, 1000)
    hanging = [turn for event in range(50) for turn in turns(throttle, f"{event}-0", 10, profile="slow")]
    assert ready(hanging) == CREATES // 2
    assert ready(turns(throttle, "99-0", 10, profile="quick")) == 10


def test_hanging_deletes_of_one_event_hold_up_no_other_delete() -> None:
    throttle = Throttle(1000, 1000)
    hanging = [throttle.delete("1-0") for _ in range(12)]
    for delete in hanging:
        delete.__enter__()
    with throttle.delete("2-0"):
        pass


def test_create_that_ends_lets_the_next_one_go() -> None:
    throttle = Throttle(1000, 1000)
    asked = turns(throttle, "1-0", CREATES // 3 + 1)
    assert not asked[-1].ready(0)
    asked[0].__exit__(None, None, None)
    assert asked[-1].ready(0)


def test_events_that_wait_take_turns() -> None:
    throttle = Throttle(1000, 1000)
    holding = [turn for n in range(CREATES) for turn in turns(throttle, f"{n}-0", 1, profile=f"held-{n}")]
    many = turns(throttle, "777-0", 100)
    one = turns(throttle, "888-0", 1, profile="other")
    for turn in holding[:2]:
        turn.__exit__(None, None, None)
    assert (ready(many), ready(one)) == (1, 1)


def test_create_that_gives_up_its_turn_leaves_no_gap() -> None:
    throttle = Throttle(1000, 1000)
    asked = turns(throttle, "1-0", CREATES // 3 + 2)
    asked[-2].__exit__(None, None, None)
    asked[0].__exit__(None, None, None)
    assert asked[-1].ready(0)


def test_delete_goes_at_once_while_creates_wait_for_a_token() -> None:
    throttle = Throttle(0.1, 20)
    with ExitStack() as held:
        asked = [held.enter_context(Turn(throttle, f"{turn}-0", "default")) for turn in range(20)]
        assert ready(asked) == 20
        asked.append(held.enter_context(Turn(throttle, "99-0", "default")))
        with throttle.delete("1-0"), throttle.delete("2-0"):
            assert not asked[-1].ready(0)


def test_burst_of_deletes_takes_no_longer_than_the_burst_of_creates_before_it() -> None:
    throttle = Throttle(0.001, 500)
    with patch("ottoscaler.kube.throttle.time.sleep", side_effect=AssertionError("it waited for a token")):
        for turn in range(500):
            with Turn(throttle, f"{turn}-0", "default") as create:
                assert create.ready(0)
        for turn in range(500):
            with throttle.delete(f"{turn}-0"):
                pass
        with pytest.raises(AssertionError), throttle.delete("1-0"):
            pass


def overdrawn() -> Throttle:
    """A throttle of 100 calls/s from which deletes have taken the tokens of the next half second."""
    throttle = Throttle(100, 100)
    for _ in range(150):
        with throttle.delete("1-0"):
            pass
    return throttle


def test_creates_wait_until_the_tokens_that_deletes_took_ahead_have_come() -> None:
    clock = Clock()
    with patch("ottoscaler.kube.throttle.time.monotonic", clock):
        throttle = overdrawn()
        clock.now += 0.5
        with Turn(throttle, "1-0", "default") as create:
            assert not create.ready(0)
            clock.now += 0.02
            assert create.ready(0)


def test_pause_that_the_server_asked_for_is_not_cut_short_by_its_next_refusal() -> None:
    clock = Clock()
    with patch("ottoscaler.kube.throttle.time.monotonic", clock):
        throttle = Throttle(100, 10)
        throttle.answered(429, 0.01, retry_after=5)
        throttle.answered(503, 0.01)
        (create,) = turns(throttle, "1-0", 1)
        for passed, may in ((4.9, False), (0.2, True)):
            clock.now += passed
            assert create.ready(0) is may


def test_refusal_takes_half_of_the_burst_that_is_left() -> None:
    clock = Clock()
    with patch("ottoscaler.kube.throttle.time.monotonic", clock):
        throttle = Throttle(100, 20)
        asked = [turn for event in range(20) for turn in turns(throttle, f"{event}-0", 1)]
        throttle.answered(429, 0.01)
        assert ready(asked) == 10
        clock.now += 0.1
        assert ready(asked[10:]) == 5, "the rest comes at the lowered rate"


def test_end_of_a_retry_after_is_no_burst() -> None:
    clock = Clock()
    with patch("ottoscaler.kube.throttle.time.monotonic", clock):
        throttle = Throttle(100, 20)
        asked = [turn for event in range(40) for turn in turns(throttle, f"{event}-0", 1)]
        assert ready(asked[:20]) == 20
        throttle.answered(429, 0.01, retry_after=5)
        clock.now += 5.1  # nobody looks in between
        assert ready(asked[20:]) == 5, "at the lowered rate, since the end of the pause"


def test_rate_that_falls_lets_creates_wait_no_longer_for_what_was_taken_ahead() -> None:
    clock = Clock()
    with patch("ottoscaler.kube.throttle.time.monotonic", clock):
        throttle = overdrawn()
        throttle.answered(429, 0.01)
        assert throttle.rate == 50
        clock.now += 0.53
        with Turn(throttle, "1-0", "default") as create:
            assert create.ready(0)


def test_retry_after_holds_creates_back_and_not_deletes() -> None:
    throttle = Throttle(1000, 1000)
    throttle.answered(429, 0.01, retry_after=60)
    begun = time.monotonic()
    with throttle.delete("1-0"), Turn(throttle, "1-0", "default") as turn:
        assert not turn.ready(0.01)
    assert time.monotonic() - begun < 30


def test_creates_go_on_after_retry_after() -> None:
    throttle = Throttle(1000, 1000)
    begun = time.monotonic()
    throttle.answered(429, 0.01, retry_after=0.3)
    with Turn(throttle, "1-0", "default") as turn:
        wait_for(lambda: turn.ready(0.05), "the create's turn")
    assert time.monotonic() - begun >= 0.25


def test_burst_is_spent_before_the_rate_counts() -> None:
    throttle = Throttle(50, 10)
    begun = time.monotonic()
    for _ in range(20):  # ten tokens, and ten ahead
        with throttle.look(""):
            pass
    with throttle.look(""):
        assert time.monotonic() - begun >= 0.015


def test_create_that_waits_can_be_looked_at_in_between() -> None:
    throttle = Throttle(1000, 1000)
    throttle.answered(429, 0.01, retry_after=60)
    begun = time.monotonic()
    with Turn(throttle, "1-0", "default") as turn:
        assert not turn.ready(0.01)
    assert time.monotonic() - begun < 30


def test_create_waits_for_the_token_that_comes_in_its_time() -> None:
    throttle = Throttle(20, 1)
    with Turn(throttle, "1-0", "default") as first, Turn(throttle, "2-0", "default") as second:
        assert first.ready(0)
        assert second.ready(10)


def test_create_has_no_token_while_another_waits_for_the_next_one() -> None:
    throttle = Throttle(1000, 1000)
    with Turn(throttle, "1-0", "default") as turn:
        with throttle._first:  # as the create does that waits
            assert not turn.ready(0.01)
        assert turn.ready(0)


def test_thread_that_waits_long_for_a_place_stays_alive_without_waking_often() -> None:
    beats, waits = [0.0], []

    def waited(place: Place, seconds: float) -> bool:
        waits.append(seconds)
        beats[0] += seconds
        return len(waits) > 9

    beacon = Health(clock=lambda: beats[0]).beacon("sweeper")
    beacon.progress()
    with patch.object(Place, "wait", waited), Throttle(100, 100).delete("1-0"):
        assert beacon.look()[0], "ten waits went by, each with a sign of life"
    assert waits == [PROGRESS_SECONDS] * 10
    assert 2 * PROGRESS_SECONDS < STALL_SECONDS, "a sign of life may come late"
    assert PROGRESS_SECONDS > 1, "a thousand threads wait so"


def test_log_that_finds_no_place_or_token_in_time_goes_without() -> None:
    throttle = Throttle(0.1, 1)
    with ExitStack() as held:
        found = [held.enter_context(throttle.log("1-0", 0.01)) for _ in range(3)]
        assert found == [True, True, False]  # there was one token, and one ahead
    throttle = Throttle(1000, 1000)
    with ExitStack() as held:
        asked = [held.enter_context(throttle.log("1-0", 0)) for _ in range(LOGS // 3 + 1)]
        assert asked == [True] * (LOGS // 3) + [False]
        with throttle.log("2-0", 0) as other:
            assert other


def test_log_waits_for_its_token_and_gives_its_place_back() -> None:
    throttle = Throttle(20, 1)
    for _ in range(LOGS + 2):
        with throttle.log("1-0", 5) as had:
            assert had
