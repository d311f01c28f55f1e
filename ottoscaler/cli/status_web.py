"""``status --web``: prints the address of the status page."""

from __future__ import annotations

from ottoscaler.cli.redis_access import Failed
from ottoscaler.cli.terminal import safe, say
from ottoscaler.ledger.heartbeats import Glance, Heartbeats
from ottoscaler.ledger.identity import identity
from ottoscaler.ledger.redis_client import RedisClient


def print_address(redis: RedisClient) -> int:
    """Print only the address to standard output. Returns 0. Raises Failed without one, and RedisError."""
    heartbeats = Heartbeats(redis)
    alive = {each["consumer"] for each in heartbeats.look() if each["state"] != "silent"}
    found = [
        each for each in heartbeats.glance() if each.told["consumer"] in alive and each.told["page_port"]
    ]
    if not found:
        none = "no replica that is alive serves the status page (OTTO_STATUS_PAGE, OTTO_HTTP_PORT)"
        raise Failed(
            none if alive else "no replica is alive, so there is no status page; `status` works without"
        )
    here = next((each for each in found if _is_here(each)), None)
    chosen = here or found[0]
    port = int(chosen.told["page_port"])
    address = safe(chosen.told["page_address"] or "")
    if _everywhere(address):
        address = "localhost"
        if here is None:
            say(f"first: kubectl port-forward pod/{safe(chosen.told['consumer'])} {port}")
    print(f"http://{f'[{address}]' if ':' in address else address}:{port}/", flush=True)
    return 0


def _everywhere(address: str) -> bool:
    """Whether a replica that serves at this OTTO_HTTP_ADDRESS is found at its own machine's localhost."""
    return address in ("", "0.0.0.0", "::", "localhost", "127.0.0.1", "::1")


def _is_here(each: Glance) -> bool:
    return bool(each.machine) and each.machine == identity("")["machine"]
