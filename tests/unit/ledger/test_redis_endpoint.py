"""Which server connections lead to: what its answers and failures change."""

from __future__ import annotations

import pytest
import redis

from ottoscaler.ledger.redis_endpoint import (
    EPISODE_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MOST_NODES,
    Endpoint,
    nodes_of,
)
from ottoscaler.ledger.redis_errors import wrong_server
from tests.harness.clock import Clock

HERE, OTHER, THIRD = ("redis", 6379), ("10.0.0.2", 6379), ("10.0.0.3", 6379)


def test_an_answer_of_a_wrong_server_makes_all_earlier_connections_useless_once() -> None:
    made = Endpoint(HERE)
    made.wrong_server("READONLY", 1)
    made.wrong_server("READONLY", 1)  # of another connection that was made before, too
    assert made.generation == 2


def test_the_pause_before_new_connections_grows_within_one_failover_only() -> None:
    clock, pauses = Clock(), []
    made = Endpoint(HERE, clock)
    for _ in range(8):
        made.wrong_server("READONLY", made.generation)
        pauses.append(round(made.pause()[0], 3))
        clock.now += 1
    assert pauses[:3] == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    clock.now += EPISODE_SECONDS
    made.wrong_server("LOADING", made.generation)
    seconds, answer = made.pause()
    assert (round(seconds, 3), answer) == (FIRST_PAUSE_SECONDS, "LOADING")


def test_a_name_stays_the_address_whatever_its_server_answers() -> None:
    made = Endpoint(HERE)
    made.wrong_server("READONLY", 1)
    made.unreachable(HERE)
    assert made.address() == HERE


def test_a_node_that_is_a_replica_by_now_is_left_for_another_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = Endpoint(HERE)
    made.learn_nodes([HERE, OTHER, THIRD])
    seen = []
    for _ in range(3):
        made.wrong_server("READONLY", made.generation)
        seen.append(made.address())
    assert seen == [OTHER, THIRD, HERE]
    assert len(caplog.records) == 1


def test_what_a_connection_of_before_says_of_the_slot_is_out_of_date() -> None:
    made = Endpoint(HERE)
    made.moved(OTHER, 1)
    made.moved(THIRD, 1)
    assert (made.address(), made.generation) == (OTHER, 2)


def test_no_more_nodes_are_remembered_than_a_cluster_can_have() -> None:
    made = Endpoint(HERE)
    for turn in range(2 * MOST_NODES):
        made.moved((THIRD, OTHER)[turn % 2], made.generation)
    assert made._nodes == (THIRD, OTHER)
    for port in range(MOST_NODES):
        made.moved(("10.0.0.4", port), made.generation)
    assert len(made._nodes) == MOST_NODES


def test_a_slot_that_moved_is_followed_and_a_dead_node_is_left_for_another() -> None:
    made = Endpoint(HERE)
    made.learn_nodes([HERE, OTHER, THIRD])
    made.moved(THIRD, 1)
    assert (made.address(), made.generation) == (THIRD, 2)
    seen = []
    for _ in range(3):
        made.unreachable(made.address())
        seen.append(made.address())
    assert seen == [HERE, OTHER, THIRD]
    made.unreachable(HERE)  # by a connection that was begun before
    assert made.address() == THIRD


def test_the_configured_address_is_tried_again_where_no_node_that_was_named_can_be_reached() -> None:
    made = Endpoint(HERE)
    made.learn_nodes([OTHER])
    made.unreachable(HERE)
    made.unreachable(OTHER)
    assert made.address() == HERE


def test_a_node_that_is_none_of_the_cluster_any_more_is_left_for_the_configured_address() -> None:
    made = Endpoint(HERE)
    made.moved(OTHER, 1)
    made.learn_nodes([THIRD])
    made.unreachable(OTHER)
    assert made.address() == HERE


def test_the_log_names_a_new_server_once_however_often_replicas_name_the_dead_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    made = Endpoint(HERE)
    made.learn_nodes([HERE, OTHER, THIRD])
    for named in (HERE, HERE, HERE, THIRD, THIRD):
        made.unreachable(made.address())
        made.moved(named, made.generation)
    assert [line.message for line in caplog.records] == ["our hash slot is served by 10.0.0.3:6379 now"]


def test_nodes_without_a_host_are_reached_as_the_one_that_answered() -> None:
    slots = [[0, 16383, [b"", 7000, b"id", []], [None, 7001, b"id", []], [b"?", 7002, b"id", []]]]
    slots += [[0, 16383, [b"10.0.0.2", 7003, b"id", []]]]
    assert nodes_of(slots, HERE) == [("redis", 7000), ("10.0.0.2", 7003)]


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (redis.exceptions.ReadOnlyError("You can't write against a read only replica."), "READONLY"),
        (redis.BusyLoadingError("Redis is loading the dataset in memory"), "LOADING"),
        (redis.exceptions.MasterDownError("Link with MASTER is down"), "MASTERDOWN"),
        (redis.exceptions.ClusterDownError("The cluster is down"), "CLUSTERDOWN"),
        (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), "NOREPLICAS"),
        (redis.ResponseError("MISCONF Redis is configured to save RDB snapshots"), "MISCONF"),
        (redis.ResponseError("UNBLOCKED force unblock from blocking operation"), "UNBLOCKED"),
        (
            redis.ResponseError(
                "Error running script (call to f_2d): @user_script:5: @user_script: 5: -READONLY You can't "
                "write against a read only replica."
            ),
            "READONLY",
        ),
        (redis.ConnectionError("The previous master is now a slave"), "READONLY"),
        (redis.ConnectionError("Connection refused"), ""),
        (redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), ""),
        (redis.ResponseError("BUSY Redis is busy running a script."), ""),
        (redis.ResponseError("WRONGTYPE READONLY is not a stream; nothing was written"), ""),
    ],
)
def test_which_answers_mean_a_wrong_server(error: Exception, word: str) -> None:
    assert wrong_server(error) == word


def reached(made: Endpoint, address: tuple[str, int]) -> int:
    made.reached(address)
    return made.generation


def test_another_master_that_the_sentinels_name_makes_all_earlier_connections_useless() -> None:
    made = Endpoint()
    first = reached(made, HERE)
    made.named(HERE)
    assert made.generation == first
    made.named(OTHER)
    assert made.generation == first + 1
    made.named(OTHER)  # nothing has connected since
    assert made.generation == first + 1


def test_old_connections_are_given_up_also_where_a_new_one_has_gone_to_the_new_master_already() -> None:
    made = Endpoint()
    made.reached(HERE)
    made.named(HERE)
    before = reached(made, OTHER)
    made.named(OTHER)
    assert made.generation == before + 1


def test_a_connection_that_a_late_sentinel_sent_to_the_old_master_is_given_up_again() -> None:
    made = Endpoint()
    made.reached(HERE)
    made.named(HERE)
    made.named(OTHER)
    before = reached(made, HERE)
    made.named(OTHER)
    assert made.generation == before + 1
    after = reached(made, OTHER)
    made.named(OTHER)
    assert made.generation == after


def test_the_log_names_a_master_once_however_often_old_connections_to_another_are_found(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    made = Endpoint()
    for _ in range(3):
        made.reached(HERE)
        made.named(OTHER)
    assert [line.message for line in caplog.records] == ["the Sentinels name 10.0.0.2:6379 as the master now"]


def test_a_failover_between_the_first_connection_and_the_first_question_is_followed() -> None:
    made = Endpoint()
    before = reached(made, HERE)
    made.named(OTHER)
    assert made.generation == before + 1


def test_sentinels_that_know_one_master_by_two_names_cost_connections_for_some_seconds_only() -> None:
    clock = Clock()
    made = Endpoint(clock=clock)
    for _ in range(60):  # one Sentinel is asked, another one leads the connections
        made.reached(HERE)
        made.named(OTHER)
        clock.now += 1
    assert made.generation == 1 + EPISODE_SECONDS
