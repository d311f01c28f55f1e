"""The steps of an event, in the order in which they happened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from ottoscaler.client.entries import EventResult
from ottoscaler.ledger.records import intents_of, timestamp
from ottoscaler.model import JsonObject
from ottoscaler.status.in_flight import age_of
from ottoscaler.status.untold import Veil

# In this order where the clocks do not tell: the API server's times have whole seconds.
WORDS = (
    "sent",
    "read",
    "begun",
    "created",
    "running",
    "retried",
    "cancelling",
    "worker ended",
    "ended",
    "dead-lettered",
)
SECOND_MS = 1000


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened. ``whole``: its time has only whole seconds."""

    at_ms: int
    what: str
    text: str
    whole: bool = False


def steps(
    event_id: str,
    raw: Mapping[str, str],
    result: EventResult | None,
    workers: Iterable[JsonObject],
    dead: JsonObject | None,
    now_ms: int,
    veil: Veil,
) -> list[JsonObject]:
    """``raw`` is the event's ledger, ``workers`` and ``dead`` as in its story. Each step has ``at``, ``what``
    (of WORDS), ``text``, and ``after``, the seconds since the first."""
    found = [*_of_event(event_id, raw, result, now_ms), *_of_workers(list(workers)), *_of_ledger(raw, veil)]
    if dead is not None and (at := _ms(dead["at"])) is not None:
        found.append(Step(at, "dead-lettered", dead["error"]))
    known = [each.at_ms for each in found if not each.whole]
    # Nothing of a worker comes before its event was begun, whatever a clock without milliseconds says.
    least = int(raw.get("first") or raw.get("taken") or (min(known) if known else 0))
    placed = sorted(
        ((_placed(each, least), WORDS.index(each.what), each) for each in found), key=lambda p: p[:2]
    )
    return [
        {
            "at": timestamp(each.at_ms / 1000) if not each.whole else timestamp(each.at_ms / 1000)[:19] + "Z",
            "what": each.what,
            "text": each.text,
            "after": round((at - placed[0][0]) / 1000, 3),
        }
        for at, _, each in placed
    ]


def _placed(step: Step, least: int) -> int:
    return least if step.whole and step.at_ms < least < step.at_ms + SECOND_MS else step.at_ms


def _of_event(
    event_id: str, raw: Mapping[str, str], result: EventResult | None, now_ms: int
) -> Iterator[Step]:
    if age_of(event_id, now_ms) is not None:
        yield Step(int(event_id.partition("-")[0]), "sent", "added to the stream")
    if raw.get("taken"):
        owner = raw.get("owner", "").rpartition("/")[0]
        yield Step(
            int(raw["taken"]),
            "read",
            f"from the stream; its owner now is {owner}" if owner else "from the stream",
        )
    if raw.get("first"):
        yield Step(int(raw["first"]), "begun", "its first worker")
    if result is not None:
        took = f" after {result.duration_ms / 1000:g} s" if result.duration_ms is not None else ""
        of = f" of {result.of}" if result.of else ""
        yield Step(int(result.id.partition("-")[0]), "ended", f"{result.status}{of}{took}")


def _of_ledger(raw: Mapping[str, str], veil: Veil) -> Iterator[Step]:
    for line in raw.get("retries", "").splitlines():
        at, index, attempt, why = line.split(" ", 3)
        yield Step(int(at), "retried", f"worker {index} after attempt {attempt}: {veil.text(why)}")
    intents: dict[str, tuple[int, list[int]]] = {}
    for worker, intent in intents_of(raw).items():
        _, indexes = intents.setdefault(intent.by, (intent.since_ms, []))
        indexes.append(worker)
    for by, (since, indexes) in intents.items():
        yield Step(since, "cancelling", f"{_workers(sorted(indexes))}, by {by}")


def _of_workers(workers: list[JsonObject]) -> Iterator[Step]:
    """The first and the last of what each worker goes through; of one worker, each is one."""
    for name, word in (("created_at", "created"), ("started_at", "running"), ("finished_at", "worker ended")):
        times = sorted((ms, each["index"], each) for each in workers if (ms := _ms(each[name])) is not None)
        for place in dict.fromkeys((0, len(times) - 1) if times else ()):
            at, index, each = times[place]
            which = "" if len(times) == 1 else ", the first" if place == 0 else f", the last of {len(times)}"
            how = _end_of(each) if name == "finished_at" else ""
            yield Step(at, word, f"worker {index}{which}{how}", whole=at % SECOND_MS == 0)


def _end_of(worker: JsonObject) -> str:
    reason = worker["reason"] if worker["state"] == "failed" else ""
    by = worker["cancelled_by"]
    return f": {worker['state']}" + (f", {reason}" if reason else "") + (f" by {by}" if by else "")


def _workers(indexes: list[int]) -> str:
    shown = ", ".join(map(str, indexes[:10])) + (", …" if len(indexes) > 10 else "")
    return f"worker {shown}" if len(indexes) == 1 else f"{len(indexes)} workers ({shown})"


def _ms(moment: str) -> int | None:
    try:
        return int(datetime.fromisoformat(moment).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
