"""The failure table, story by story: what Kubernetes says, and what is done about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottoscaler.errors import KubernetesUnavailable, QuotaExceeded, Refused
from ottoscaler.model import Judgement, Phase, PodView, Reason, Status, Verdict
from ottoscaler.pods.failure_table import TABLE, WITHOUT_A_POD, Sign, Stage
from ottoscaler.pods.verdict import cut, judge, refused, render_table, trouble, vanished
from ottoscaler.pods.view import parse_pod

BLANK = parse_pod({})


def view(**fields: Any) -> PodView:
    return BLANK._replace(**fields)


def failed(**fields: Any) -> PodView:
    return view(phase=Phase.FAILED, started_at="T1", **fields)


def now(seen: PodView, **times: float) -> Judgement:
    return judge(
        seen, **{"age_seconds": 1.0, "waiting_seconds": 0.0, "pending_timeout_seconds": 900.0, **times}
    )


def verdict(seen: PodView, **times: float) -> tuple[Verdict, Reason]:
    found = now(seen, **times)
    return found.verdict, found.reason


def test_succeeded_worker_is_completed_with_its_own_words() -> None:
    found = now(view(phase=Phase.SUCCEEDED, exit_code=0, container_message="42 tests"))
    assert found == Judgement(Verdict.FINISHED, Status.SUCCEEDED, Reason.COMPLETED, "42 tests", 0)


def test_failed_worker_is_an_error_and_never_retried() -> None:
    found = now(failed(exit_code=3, container_reason="Error", container_message="boom"))
    assert found == Judgement(Verdict.FINISHED, Status.FAILED, Reason.ERROR, "boom", 3)


def test_failed_worker_without_words_is_told_by_its_exit_code() -> None:
    assert now(failed(exit_code=3)).message == "it ended with exit code 3"


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ({"exit_code": 137, "container_reason": "OOMKilled"}, Reason.OOM_KILLED),
        ({"exit_code": 137, "container_reason": "Error"}, Reason.ERROR),
        ({"exit_code": 143}, Reason.ERROR),
        ({"exit_code": 128, "container_reason": "StartError"}, Reason.START_ERROR),
        ({"exit_code": 127, "container_reason": "ContainerCannotRun"}, Reason.START_ERROR),
        ({"pod_reason": "DeadlineExceeded", "exit_code": 137}, Reason.DEADLINE_EXCEEDED),
        ({"pod_reason": "DeadlineExceeded", "started_at": ""}, Reason.PENDING_TIMEOUT),
        ({"exit_code": 1, "deleting": True}, Reason.ERROR),
        ({"container_reason": "Error", "container_message": "init container x"}, Reason.ERROR),
        (
            {
                "pod_reason": "Evicted",
                "pod_message": 'Usage of EmptyDir volume "home" exceeds the limit "1Gi".',
            },
            Reason.EVICTED,
        ),
    ],
)
def test_failure_of_the_worker_s_own_is_finished(shown: dict[str, Any], reason: Reason) -> None:
    found = now(failed()._replace(**shown))
    assert (found.verdict, found.status, found.reason) == (Verdict.FINISHED, Status.FAILED, reason)


@pytest.mark.parametrize(
    ("shown", "reason", "avoid_node"),
    [
        (
            {"pod_reason": "Evicted", "pod_message": "The node was low on resource: memory."},
            Reason.EVICTED,
            True,
        ),
        ({"pod_reason": "Evicted", "exit_code": 137, "container_reason": "OOMKilled"}, Reason.EVICTED, True),
        ({"pod_reason": "Evicted", "exit_code": 1}, Reason.EVICTED, True),
        ({"pod_reason": "Preempting"}, Reason.PREEMPTED, False),
        ({"pod_reason": "Terminated", "exit_code": 143}, Reason.NODE_SHUTDOWN, True),
        ({"pod_reason": "Shutdown"}, Reason.NODE_SHUTDOWN, True),
        ({"pod_reason": "NodeLost"}, Reason.NODE_LOST, True),
        ({"pod_reason": "OutOfcpu"}, Reason.ADMISSION, True),
        ({"pod_reason": "OutOfmemory"}, Reason.ADMISSION, True),
        ({"pod_reason": "OutOfpods"}, Reason.ADMISSION, True),
        ({"pod_reason": "NodeAffinity"}, Reason.ADMISSION, True),
        ({"pod_reason": "UnexpectedAdmissionError"}, Reason.ADMISSION, True),
        ({"pod_reason": "SupplementalGroupsPolicyNotSupported"}, Reason.ADMISSION, True),
        (
            {
                "exit_code": 128,
                "container_reason": "StartError",
                "container_message": "failed to create containerd task: context deadline exceeded: unknown",
            },
            Reason.START_ERROR,
            True,
        ),
        ({"disruption": "PreemptionByScheduler", "exit_code": 143}, Reason.PREEMPTED, False),
        ({"disruption": "DeletionByTaintManager", "exit_code": 1}, Reason.NODE_LOST, True),
        ({"disruption": "DeletionByPodGC"}, Reason.NODE_LOST, True),
        ({"disruption": "EvictionByEvictionAPI", "exit_code": 143}, Reason.EVICTED, True),
        ({"exit_code": 137, "container_reason": "ContainerStatusUnknown"}, Reason.NODE_LOST, True),
        ({"exit_code": 255, "container_reason": "Unknown"}, Reason.NODE_LOST, True),
        ({"exit_code": 143, "deleting": True}, Reason.DELETED, False),
        ({"exit_code": 137, "deleting": True}, Reason.DELETED, False),
        (
            {"exit_code": 137, "container_reason": "ContainerStatusUnknown", "deleting": True},
            Reason.DELETED,
            False,
        ),
        ({"deleting": True, "started_at": "", "container_reason": "Error"}, Reason.DELETED, False),
        ({}, Reason.UNKNOWN, True),
        ({"pod_reason": "SomethingNew"}, Reason.UNKNOWN, True),
    ],
)
def test_failure_of_the_infrastructure_is_retried(
    shown: dict[str, Any], reason: Reason, avoid_node: bool
) -> None:
    found = now(failed()._replace(**shown))
    assert (found.verdict, found.status, found.reason) == (Verdict.RETRY, Status.FAILED, reason)
    assert found.avoid_node is avoid_node
    assert found.message


def test_memory_limit_is_told_from_a_deletion_even_while_being_deleted() -> None:
    assert verdict(failed(exit_code=137, container_reason="OOMKilled", deleting=True))[1] is Reason.OOM_KILLED


def test_eviction_is_told_in_the_kubelet_s_words_not_the_worker_s() -> None:
    seen = failed(pod_reason="Evicted", pod_message="The node was low on memory", container_message="step 3")
    assert now(seen).message == "The node was low on memory"


@pytest.mark.parametrize(
    "seen",
    [
        view(phase=Phase.PENDING),
        view(phase=Phase.PENDING, unschedulable="0/3 nodes are available"),
        view(phase=Phase.PENDING, waiting_reason="ContainerCreating"),
        view(phase=Phase.RUNNING, started_at="T1"),
        view(phase=Phase.UNKNOWN, started_at="T1", pod_reason="NodeLost"),
        view(phase=Phase.RUNNING, started_at="T1", pod_reason="NodeLost", deleting=True),
        view(phase=Phase.RUNNING, started_at="T1", disruption="PreemptionByScheduler"),
        view(phase=Phase.RUNNING, started_at="T1", exit_code=143, disruption="PreemptionByScheduler"),
        view(phase=Phase.PENDING, deleting=True, waiting_reason="InvalidImageName"),
    ],
)
def test_what_may_still_come_right_is_waited_for(seen: PodView) -> None:
    assert verdict(seen, waiting_seconds=899, running_seconds=10)[0] is Verdict.WAIT


def test_node_that_is_not_heard_of_is_waited_for_past_every_timeout() -> None:
    seen = view(phase=Phase.UNKNOWN)
    times = {
        "age_seconds": 10**6,
        "waiting_seconds": 10**6,
        "running_seconds": 10**6,
        "run_timeout_seconds": 1,
    }
    assert verdict(seen, **times)[0] is Verdict.WAIT


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("ErrImagePull", Reason.IMAGE_PULL),
        ("ImagePullBackOff", Reason.IMAGE_PULL),
        ("ErrImageNeverPull", Reason.IMAGE_PULL),
        ("CreateContainerConfigError", Reason.CONFIG_ERROR),
        ("CreateContainerError", Reason.START_ERROR),
        ("RunContainerError", Reason.START_ERROR),
    ],
)
def test_start_that_fails_gets_thirty_seconds_of_grace(word: str, reason: Reason) -> None:
    seen = view(phase=Phase.PENDING, waiting_reason=word, waiting_message="no such thing")
    assert verdict(seen, waiting_seconds=29.9)[0] is Verdict.WAIT
    assert verdict(seen, waiting_seconds=30.0) == (Verdict.FINISHED, reason)
    assert now(seen, waiting_seconds=30.0).message == f"{word}: no such thing"
    assert trouble(seen) == reason.value


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("ErrImagePull", Reason.IMAGE_PULL),
        ("ImagePullBackOff", Reason.IMAGE_PULL),
        ("CreateContainerConfigError", Reason.CONFIG_ERROR),
        ("CreateContainerError", Reason.START_ERROR),
    ],
)
def test_pending_timeout_within_that_grace_still_tells_the_kubelet_s_reason(
    word: str, reason: Reason
) -> None:
    seen = view(phase=Phase.PENDING, waiting_reason=word, waiting_message="no such thing")
    times = {"waiting_seconds": 4.0, "pending_timeout_seconds": 5.0}
    assert verdict(seen, age_seconds=4.9, **times)[0] is Verdict.WAIT
    found = now(seen, age_seconds=5.0, **times)
    assert (found.verdict, found.reason) == (Verdict.FINISHED, reason)
    assert found.message == f"{word}: no such thing"


def test_invalid_image_name_gets_no_grace() -> None:
    seen = view(phase=Phase.PENDING, waiting_reason="InvalidImageName")
    assert verdict(seen) == (Verdict.FINISHED, Reason.IMAGE_PULL)


def test_pull_errors_that_take_turns_are_one_trouble() -> None:
    words = ("ErrImagePull", "ImagePullBackOff")
    assert len({trouble(view(phase=Phase.PENDING, waiting_reason=word)) for word in words}) == 1
    assert trouble(view(phase=Phase.PENDING, waiting_reason="ContainerCreating")) == ""


def test_pending_timeout_says_what_it_waited_for() -> None:
    seen = view(phase=Phase.PENDING, waiting_reason="ContainerCreating")
    found = now(seen, age_seconds=900)
    assert (found.verdict, found.reason) == (Verdict.FINISHED, Reason.PENDING_TIMEOUT)
    assert found.message == "ContainerCreating"
    assert "did not start" in now(view(phase=Phase.PENDING), age_seconds=900).message


def test_pod_without_a_node_is_unschedulable_in_the_scheduler_s_words() -> None:
    found = now(view(phase=Phase.PENDING, unschedulable="0/3 nodes: too little cpu"), age_seconds=900)
    assert (found.reason, found.message) == (Reason.UNSCHEDULABLE, "0/3 nodes: too little cpu")


def test_running_worker_outlives_the_pending_timeout_but_not_its_run_limit() -> None:
    seen = view(phase=Phase.RUNNING, started_at="T1")
    assert verdict(seen, age_seconds=10**6, running_seconds=59, run_timeout_seconds=60)[0] is Verdict.WAIT
    assert verdict(seen, running_seconds=60, run_timeout_seconds=60)[1] is Reason.DEADLINE_EXCEEDED


@pytest.mark.parametrize(("code", "reason"), [(0, Reason.COMPLETED), (3, Reason.ERROR)])
def test_worker_that_ended_beside_a_running_sidecar_is_finished(code: int, reason: Reason) -> None:
    assert verdict(view(phase=Phase.RUNNING, started_at="T1", exit_code=code)) == (Verdict.FINISHED, reason)


def test_worker_that_succeeded_beside_a_failed_sidecar_has_succeeded() -> None:
    found = now(failed(exit_code=0, container_reason="Error", container_message="container log ended with 1"))
    assert (found.status, found.message) == (Status.SUCCEEDED, "container log ended with 1")


@pytest.mark.parametrize(
    "befell",
    [
        {"phase": Phase.FAILED, "pod_reason": "Evicted", "pod_message": "The node was low on memory"},
        {"phase": Phase.FAILED, "pod_reason": "Evicted", "pod_message": "exceeds the limit"},
        {"phase": Phase.FAILED, "pod_reason": "Terminated"},
        {"phase": Phase.FAILED, "pod_reason": "Preempting"},
        {"phase": Phase.FAILED, "pod_reason": "DeadlineExceeded"},
        {"phase": Phase.FAILED, "disruption": "DeletionByTaintManager", "deleting": True},
        {"phase": Phase.RUNNING, "disruption": "EvictionByEvictionAPI", "deleting": True},
        {"phase": Phase.RUNNING, "deleting": True},
        {"phase": Phase.UNKNOWN, "pod_reason": "NodeLost", "deleting": True},
        {"phase": Phase.SUCCEEDED, "pod_reason": "Evicted"},
    ],
)
def test_worker_that_ended_with_0_has_succeeded_whatever_befell_its_pod(befell: dict[str, Any]) -> None:
    seen = view(started_at="T1", exit_code=0, **befell)
    for found in (now(seen), vanished(seen)):
        assert (found.verdict, found.status, found.reason) == (
            Verdict.FINISHED,
            Status.SUCCEEDED,
            Reason.COMPLETED,
        )


def test_failure_that_eviction_may_have_caused_waits_for_what_the_pod_shows_in_the_end() -> None:
    seen = view(phase=Phase.RUNNING, started_at="T1", exit_code=3, disruption="TerminationByKubelet")
    assert verdict(seen)[0] is Verdict.WAIT
    assert verdict(seen._replace(phase=Phase.FAILED)) == (Verdict.RETRY, Reason.EVICTED)


@pytest.mark.parametrize(
    ("code", "reason"), [(0, Reason.COMPLETED), (3, Reason.ERROR), (137, Reason.DELETED)]
)
def test_pod_deleted_with_its_sidecar_still_running_tells_the_worker_s_end(code: int, reason: Reason) -> None:
    gone = view(phase=Phase.RUNNING, started_at="T1", exit_code=code, deleting=True)
    assert vanished(gone).reason is reason


def test_worker_running_in_a_pod_that_a_sidecar_keeps_pending_is_not_overdue() -> None:
    seen = view(phase=Phase.PENDING, started_at="T1")
    assert verdict(seen, age_seconds=10**6)[0] is Verdict.WAIT
    assert seen.running
    assert verdict(seen, running_seconds=60, run_timeout_seconds=60)[1] is Reason.DEADLINE_EXCEEDED


def test_vanished_pod_is_somebody_else_s_deletion_and_retried() -> None:
    for last in (None, view(phase=Phase.PENDING), view(phase=Phase.RUNNING, started_at="T1", deleting=True)):
        found = vanished(last)
        assert (found.verdict, found.status, found.reason) == (Verdict.RETRY, Status.FAILED, Reason.DELETED)
        assert "vanished" in found.message


def test_vanished_pod_that_was_being_evicted_is_told_as_evicted() -> None:
    found = vanished(
        view(phase=Phase.RUNNING, disruption="EvictionByEvictionAPI", disruption_message="drain")
    )
    assert (found.verdict, found.reason, found.message) == (Verdict.RETRY, Reason.EVICTED, "drain")
    assert found.avoid_node


def test_vanished_pod_that_was_seen_to_end_keeps_its_end() -> None:
    assert vanished(view(phase=Phase.SUCCEEDED, exit_code=0)).reason is Reason.COMPLETED
    assert vanished(failed(exit_code=3)).verdict is Verdict.FINISHED


@pytest.mark.parametrize(
    "seen",
    [
        failed(exit_code=1, container_message="mkdir: can't create '/x': Permission denied"),
        failed(exit_code=126),
        view(
            phase=Phase.PENDING,
            waiting_reason="CreateContainerConfigError",
            waiting_message="container has runAsNonRoot and image will run as root",
        ),
    ],
)
def test_image_that_seems_to_need_root_is_told_the_way_out(seen: PodView) -> None:
    assert "needs an operator's template" in now(seen, waiting_seconds=60).message
    long = seen._replace(container_message="permission denied " * 1000)
    assert len(now(long, waiting_seconds=60).message.encode()) <= 4096


def test_ordinary_failure_is_told_nothing_about_root() -> None:
    assert "root" not in now(failed(exit_code=1, container_message="tests failed")).message


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=3000), st.integers(3, 200))
def test_message_is_cut_between_characters(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert len(short.encode()) <= limit
    assert short == text or (short.endswith("...") and text.startswith(short[:-3]))


def test_message_that_is_no_text_can_still_be_sent() -> None:
    assert cut("a\ud800b") == "a?b"


FIELD_WORDS = sorted({value.replace("*", "x") for row in TABLE for value in row.values} | {"", "New"})


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([Phase.SUCCEEDED, Phase.FAILED]),
    st.booleans(),
    st.none() | st.integers(-1, 300),
    *[st.sampled_from(FIELD_WORDS) for _ in range(4)],
    st.text(max_size=20),
)
def test_terminal_pod_always_gets_a_final_verdict(
    phase: Phase,
    deleting: bool,
    code: int | None,
    pod: str,
    container: str,
    waiting: str,
    disruption: str,
    words: str,
) -> None:
    seen = view(
        phase=phase,
        deleting=deleting,
        exit_code=code,
        pod_reason=pod,
        container_reason=container,
        waiting_reason=waiting,
        disruption=disruption,
        container_message=words,
    )
    found = now(seen)
    assert found.verdict is not Verdict.WAIT
    assert found.status in (Status.SUCCEEDED, Status.FAILED)
    assert found.message or found.status is Status.SUCCEEDED


def test_only_pods_that_are_terminal_or_never_started_are_retried() -> None:
    """An attempt follows another only when no container of the earlier one can run again; of one that never
    started, create waits until it is gone."""
    of_the_dead = {Stage.FAILED, Stage.NEVER_STARTED, Stage.DELETED_BY_OTHERS}
    others = [row for row in TABLE if row.verdict is Verdict.RETRY and row.stage not in of_the_dead]
    assert {(row.stage, row.reason) for row in others} == {
        (Stage.WAITING, Reason.IMAGE_PULL),
        (Stage.OVERDUE, Reason.IMAGE_PULL),
    }


@pytest.mark.parametrize(
    "words",
    [
        'failed to resolve reference "r/a:1": unexpected status from HEAD request: 503 Service Unavailable',
        "failed to fetch anonymous token: unexpected status: 429 Too Many Requests",
        "toomanyrequests: You have reached your pull rate limit",
        "dial tcp: lookup r.example.org on 10.96.0.10:53: no such host",
        "dial tcp 192.0.2.1:443: i/o timeout",
        "pinging container registry r.example.org: received unexpected HTTP status: 502 Bad Gateway",
        "net/http: TLS handshake timeout",
    ],
)
def test_registry_that_may_heal_is_retried_once_its_grace_is_over(words: str) -> None:
    seen = view(phase=Phase.PENDING, waiting_reason="ErrImagePull", waiting_message=words)
    assert verdict(seen, waiting_seconds=30.0) == (Verdict.RETRY, Reason.IMAGE_PULL)
    assert verdict(seen, waiting_seconds=30.0, pull_grace_seconds=31.0)[0] is Verdict.WAIT
    assert verdict(seen, waiting_seconds=1.0, age_seconds=900) == (Verdict.RETRY, Reason.IMAGE_PULL)


@pytest.mark.parametrize(
    "words",
    [
        'failed to resolve reference "r.example.org/a:1": r.example.org/a:1: not found',
        "failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized",
        "pull access denied, repository does not exist or may require authorization",
        "manifest unknown",
        "",
    ],
)
def test_image_that_is_not_there_or_not_allowed_is_final(words: str) -> None:
    seen = view(phase=Phase.PENDING, waiting_reason="ErrImagePull", waiting_message=words)
    assert verdict(seen, waiting_seconds=30.0) == (Verdict.FINISHED, Reason.IMAGE_PULL)


def test_every_reason_of_the_closed_list_is_in_the_table() -> None:
    told = {row.reason for row in TABLE} | {row[0] for row in WITHOUT_A_POD}
    assert told == set(Reason)


def test_every_row_can_be_reached() -> None:
    """A row that an earlier one always hides would be a promise that nobody keeps."""
    for at, row in enumerate(TABLE):
        hiding = [
            earlier
            for earlier in TABLE[:at]
            if earlier.stage is row.stage
            and earlier.sign is row.sign
            and not earlier.says
            and (
                not earlier.values
                or "*" in earlier.values
                or (row.values and set(row.values) <= set(earlier.values))
            )
        ]
        assert hiding == [], row


def test_table_reads_every_sign() -> None:
    assert {row.sign for row in TABLE} == set(Sign)


def test_documented_table_is_the_table() -> None:
    document = (Path(__file__).parents[3] / "docs" / "failures.md").read_text(encoding="utf-8")
    mark = "<!-- generated: ottoscaler.pods.verdict.render_table -->\n\n"
    assert document.partition(mark)[2].partition("\n## ")[0] == render_table()


def test_refused_pod_fails_its_worker_with_the_server_s_sentence_or_the_lack_of_an_answer() -> None:
    said = refused(Refused("image is not allowed", status=403))
    assert (said.verdict, said.status, said.reason) == (Verdict.FINISHED, Status.FAILED, Reason.REJECTED)
    assert said.message == "image is not allowed"
    assert refused(QuotaExceeded("exceeded quota", status=403)).reason is Reason.QUOTA
    assert refused(KubernetesUnavailable("no answer within 60 s")).reason is Reason.PENDING_TIMEOUT
