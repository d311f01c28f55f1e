"""Who sees the status page (OTTO_STATUS_PAGE): judged by the peer's address and the Host header."""

from __future__ import annotations

import ipaddress
import re

LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "[::1]"))
# A browser says whose page asks; another site's may not even hold a viewer's place.
OWN_SITES = frozenset(("", "none", "same-origin"))

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?")


def admits(mode: str, peer: str, host: str) -> bool:
    """Whether the page is there for this request. ``host`` is the Host header, '' where there is none.

    ``local``: a peer on loopback that names this machine by a name for loopback. A page of another site that
    has its own name resolve to 127.0.0.1 (DNS rebinding) sends that name as Host.
    """
    if mode != "local":
        return mode == "all"
    found = _HOST.fullmatch(host.strip().lower())
    return found is not None and found[1] in LOCAL_HOSTS and is_loopback(peer)


def is_loopback(peer: str) -> bool:
    """Whether an address is this machine's own loopback, also as IPv4 in IPv6."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
