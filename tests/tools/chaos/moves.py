"""Chaos's moves: each does one thing to the stage, for so many seconds, as a random number chooses."""

from __future__ import annotations

import signal
from collections.abc import Callable

from ottoscaler.local.apiserver.etcd_stall import MODES
from ottoscaler.local.apiserver.statuses import ApiError
from ottoscaler.pods.labels import OWNER
from tests.tools.chaos.producer import LONG_SECONDS, MOST_WORKERS, Producer
from tests.tools.chaos.stage import Stage

Move = Callable[[Stage, Producer, float, int], None]

HUGE_MEGABYTES = (1, 8, 30)
SLOWEST_SECONDS = 2.7  # that an answer of Redis may be late; past the socket's time-out it is an outage
# What an operator rolls. The last ones refuse some events, and others that they would refuse have begun.
ROLLS = (
    {"OTTO_MAX_WORKERS": "7"},
    {"OTTO_MAX_EVENTS_IN_HAND": "2"},
    {"OTTO_POLL_SECONDS": "0.5", "OTTO_KUBE_QPS": "20", "OTTO_KUBE_BURST": "20"},
    {"OTTO_MAX_PODS_PER_EVENT": str(MOST_WORKERS - 2)},
    {"OTTO_WORKER_TIMEOUT_SECONDS": "600", "OTTO_MAX_TIMEOUT_SECONDS": str(LONG_SECONDS // 2)},
    {"OTTO_ALLOWED_IMAGES": "busybox"},
)


# --- replicas


def _kill(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    slot = stage.pick(number)
    stage.faults["killed"] += 1
    stage.slots[slot].kill()
    stage.schedule.after(seconds / 3, lambda: stage.start(slot))


def _terminate(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    slot = stage.pick(number)
    replica = stage.slots[slot]
    stage.faults["terminated"] += 1
    replica.thaw()
    replica.send(signal.SIGTERM)
    if number % 3 == 0:
        replica.send(signal.SIGTERM)
    stage.start(slot)


def _freeze(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    replica = stage.slots[stage.pick(number)]
    stage.faults["frozen"] += 1
    replica.freeze()
    stage.schedule.after(seconds, replica.thaw)


def _roll_settings(stage: Stage, producer: Producer, seconds: float, number: int) -> None:
    stage.faults["settings rolled"] += 1
    stage.rolled = dict(ROLLS[number % len(ROLLS)])
    _terminate(stage, producer, seconds, number)


# --- Redis


def _crash_redis(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    if not stage.redis_up:
        return
    stage.faults["redis crashed"] += 1
    stage.redis_up = False
    stage.place.redis_server.kill()
    stage.schedule.after(seconds, stage.redis_back)


def _slow_redis(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    stage.faults["redis slow"] += 1
    stage.redis_road.delay = SLOWEST_SECONDS * (1 + number % 3) / 3
    stage.schedule.after(2 * seconds, lambda: setattr(stage.redis_road, "delay", 0.0))


def _fail_over(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    if stage.redis_up:
        stage.faults["redis failed over"] += 1
        stage.fail_over()


def _huge_entry(stage: Stage, producer: Producer, seconds: float, number: int) -> None:
    stage.faults["huge entries"] += 1
    producer.send_huge(HUGE_MEGABYTES[number % len(HUGE_MEGABYTES)])


def _trim(stage: Stage, producer: Producer, seconds: float, number: int) -> None:
    stage.faults["trimmed"] += 1
    producer.trim(number % 5)


# --- Kubernetes


def _api_away(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    if not stage.api_up:
        return
    how = "hanging" if number % 2 else "refused"
    stage.faults[f"api {how}"] += 1
    stage.api_away(how)
    stage.schedule.after(seconds, stage.api_back)


def _cut_one_off(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    """One replica loses its way to Kubernetes; the others keep theirs."""
    road = stage.kube_roads[stage.pick(number)]
    if not stage.api_up:
        return
    stage.faults["one cut off"] += 1
    if number % 2:
        road.hang()
        stage.schedule.after(2 * seconds, road.flow)
    else:
        road.refuse()
        stage.schedule.after(2 * seconds, road.accept)


def _stall_etcd(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    mode = MODES[number % len(MODES)]
    stage.faults[f"etcd {mode}"] += 1
    stage.cluster.faults.stall_etcd(mode)
    stage.schedule.after(seconds, stage.cluster.faults.resume_etcd)


def _late_posts(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    stage.faults["posts late"] += 1
    stage.cluster.faults.deliver_late(2 * seconds, times=1 + number % 4)


def _api_errors(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    status = (409, 429, 500, 503)[number % 4]
    if status == 409:
        stage.faults["create replies lost"] += 1
        stage.cluster.faults.lose_create_replies(5)
        return
    stage.faults[f"api {status}"] += 1
    stage.cluster.faults.answer(status, 10, path=r"/pods", retry_after=1 if status == 429 else 0)


def _slow_admission(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    stage.faults["admission slow"] += 1
    stage.cluster.faults.slow_admission(seconds, times=1 + number % 8)


def _relabel(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    """An admission webhook takes the owner's label off new Pods, or gives them another's."""
    stage.faults["owners relabelled"] += 1
    stage.cluster.faults.relabel({OWNER: (None, "somebody-else")[number % 2]}, times=1 + number % 8)


def _delete_a_pod(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    alive = [life for life in stage.cluster.audit.lives() if life.deleted is None]
    if not alive:
        return
    life = alive[number % len(alive)]
    try:
        stage.cluster.faults.vanish_pod(life.namespace, life.name)
    except ApiError:
        return
    stage.faults["Pod deleted by others"] += 1
    stage.deleted.add(life.uid)


def _break_watches(stage: Stage, _: Producer, seconds: float, number: int) -> None:
    faults = stage.cluster.faults
    stage.faults["watches broken"] += 1
    (faults.cut_watches, faults.expire_watches, faults.end_watches)[number % 3]()


MOVES: dict[str, tuple[Move, int]] = {
    "kill": (_kill, 4),
    "terminate": (_terminate, 2),
    "freeze": (_freeze, 3),
    "roll": (_roll_settings, 1),
    "crash-redis": (_crash_redis, 2),
    "slow-redis": (_slow_redis, 1),
    "failover": (_fail_over, 1),
    "huge": (_huge_entry, 1),
    "trim": (_trim, 2),
    "api-away": (_api_away, 3),
    "cut-one": (_cut_one_off, 2),
    "stall-etcd": (_stall_etcd, 2),
    "late-posts": (_late_posts, 2),
    "api-errors": (_api_errors, 2),
    "slow-admission": (_slow_admission, 1),
    "relabel": (_relabel, 1),
    "delete": (_delete_a_pod, 4),
    "watches": (_break_watches, 2),
}
