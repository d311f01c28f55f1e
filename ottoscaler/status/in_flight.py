"""An open event's ledger in the form that ``status`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ottoscaler.ledger.records import IndexStage, IndexState, Intent, indexes_of, intents_of
from ottoscaler.model import JsonObject

LONGEST_PLAUSIBLE_AGE_MS = 10 * 365 * 86_400_000  # ids that producers choose need not be times


def describe(event_id: str, raw: Mapping[str, bytes], *, offered: bool, now_ms: int) -> JsonObject:
    """The event with its workers, as docs/cli.md has it. ``raw`` is its hash, ``now_ms`` Redis's clock."""
    words = {name: value.decode("utf-8", "replace") for name, value in raw.items() if name != "body"}
    states = indexes_of(words)
    workers = list(unended(states, intents_of(words), now_ms))
    count = int(words["n"]) if words.get("n") else None
    age = age_of(event_id, now_ms)
    taken = int(words.get("taken") or now_ms)
    return {
        "event_id": event_id,
        "type": words.get("type", ""),
        "task_id": words.get("task", ""),
        "pod_count": count,
        "owner": words.get("owner", "").rpartition("/")[0],
        "offered": offered,
        "epoch": int(words.get("epoch") or 0),
        "age_seconds": round((now_ms - taken) / 1000 if age is None else age, 3),
        "strikes": int(words.get("strikes") or 0),
        "counts": _counts(words, workers, states, count or 0),
        "workers": workers,
    }


def _counts(
    words: Mapping[str, str], workers: list[JsonObject], states: Mapping[int, IndexState], count: int
) -> dict[str, int]:
    counts = dict.fromkeys(("not_begun", "begun", "cancelling", "retrying"), 0)
    for each in workers:
        counts[each["state"]] += 1
    if words.get("type") == "scale_up":
        counts["not_begun"] = max(0, count - len(states))
    for word, key in (("succeeded", "ok"), ("failed", "bad"), ("cancelled", "cut")):
        counts[word] = int(words.get(key) or 0)
    return counts


def unended(
    states: Mapping[int, IndexState], intents: Mapping[int, Intent], now_ms: int
) -> Iterator[JsonObject]:
    """The workers that have begun and not ended, as docs/cli.md has them."""
    for index, state in sorted(states.items()):
        if state.stage is IndexStage.DONE:
            continue
        worker: JsonObject = {"index": index, "attempt": state.attempt, "state": "begun"}
        if state.stage is IndexStage.WAITING:
            worker["state"] = "retrying"
            worker["due_in_seconds"] = round(max(0, state.due_ms - now_ms) / 1000, 3)
        if index in intents:
            worker["state"] = "cancelling"
            worker["cancelled_by"] = intents[index].by
        if state.uid:
            worker["pod_uid"] = state.uid
        yield worker


def age_of(event_id: str, now_ms: int) -> float | None:
    """Seconds since XADD, if the id can be a time; else ``None``."""
    written = int(event_id.partition("-")[0])
    if 0 <= now_ms - written < LONGEST_PLAUSIBLE_AGE_MS:
        return (now_ms - written) / 1000
    return None
