"""Who is dead: only whose heartbeat stood still for a whole lease that we saw without a gap."""

from __future__ import annotations

import pytest

from ottoscaler.ledger.replicas import Survey
from ottoscaler.ledger.surveys import Observations, Surveys

LEASE = 10.0


def survey(**replicas: tuple[str, str]) -> Survey:
    return Survey(1, (), True, replicas)


def watch(observations: Observations, seconds: int, *, since: int = 0, **replicas: tuple[str, str]) -> None:
    for second in range(since, since + seconds + 1):
        observations.update(survey(**replicas), float(second))


def test_heartbeat_that_stands_still_is_timed_from_when_it_was_first_seen() -> None:
    observations = Observations(LEASE)
    watch(observations, 11, a=("i", "5"))
    assert observations.still_for("a", 11.0) == 11.0


def test_each_new_beat_starts_the_time_anew() -> None:
    observations = Observations(LEASE)
    watch(observations, 9, a=("i", "5"))
    watch(observations, 3, since=10, a=("i", "6"))
    assert observations.still_for("a", 13.0) == 3.0


def test_gap_in_our_own_observation_proves_nothing() -> None:
    observations = Observations(LEASE)
    watch(observations, 3, a=("i", "5"))
    observations.update(survey(a=("i", "5")), 60.0)
    assert observations.still_for("a", 60.0) == 0.0


def test_forgetting_after_an_error_starts_anew() -> None:
    observations = Observations(LEASE)
    watch(observations, 9, a=("i", "5"))
    observations.forget()
    watch(observations, 1, since=10, a=("i", "5"))
    assert observations.still_for("a", 11.0) == 1.0


@pytest.mark.parametrize(
    "survey", [Survey(1, (), True, owners=("ghost/1",)), Survey(1, (), True, consumers={"ghost": 1})]
)
def test_name_without_any_heartbeat_is_timed_too(survey: Survey) -> None:
    observations = Observations(LEASE)
    for second in range(12):
        observations.update(survey, float(second))
    assert observations.still_for("ghost", 11.0) == 11.0
    assert observations.heartbeat("ghost") == ("", "")


def test_new_incarnation_under_a_name_starts_the_time_anew() -> None:
    observations = Observations(LEASE)
    watch(observations, 9, a=("i", "5"))
    watch(observations, 1, since=10, a=("j", "5"))
    assert observations.still_for("a", 11.0) == 1.0
    assert observations.heartbeat("a") == ("j", "5")


def test_name_that_left_is_forgotten() -> None:
    observations = Observations(LEASE)
    watch(observations, 9, a=("i", "5"))
    watch(observations, 1, since=10, b=("i", "1"))
    assert observations.still_for("a", 11.0) == 0.0


def test_heartbeat_that_only_brings_offers_does_not_take_the_place_of_a_whole_survey() -> None:
    """The takeover's thread may be busy for seconds. The dead are only told of by whole surveys."""
    surveys, whole = Surveys(LEASE), survey(a=("i", "5"))
    surveys.tell(whole, 0.0, same_run=True)
    surveys.tell(Survey(2, ("17-0",)), 1.0, same_run=True)
    assert surveys.take(0.0) == (whole, False)


def test_light_heartbeat_brings_what_other_replicas_were_handed_and_have_not_taken() -> None:
    surveys = Surveys(LEASE)
    surveys.tell(Survey(1, (), stranded=("17-0",)), 1.0, same_run=True)
    told, _ = surveys.take(0.0)
    assert told is not None
    assert told.stranded == ("17-0",)
