"""Decides who sees the status page (OTTO_STATUS_PAGE), by the peer's address and the Host header."""

from __future__ import annotations

import ipaddress
import re

# Values of Sec-Fetch-Site that are allowed. The page of another site may not even take a viewer's place.
OWN_SITES = frozenset(("", "none", "same-origin"))

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?")


def admits(mode: str, peer: str, host: str) -> bool:
    """Whether this request may see the page. ``host`` is the Host header, '' if there is none. Any thread.

    In mode ``local``, the peer must be on loopback, and the Host header must be localhost or an address of
    loopback. The second condition stops another site's page whose own name resolves to 127.0.0.1 (DNS
    rebinding): it sends that name as Host.
    """
    if mode != "local":
        return mode == "all"
    found = _HOST.fullmatch(host.strip().lower())
    if found is None or not is_loopback(peer):
        return False
    return found[1] == "localhost" or is_loopback(found[1].strip("[]"))


def is_loopback(peer: str) -> bool:
    """Whether an address is this machine's own loopback, also as IPv4 in IPv6."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
