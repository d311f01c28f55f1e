"""What Ottoscaler accepts as a ``REDIS_URL``, and how to show one without its password."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

MASK = "***"
SCHEMES = ("redis", "rediss", "unix")

# redis-py takes any connection argument from the query, also the retries and timeouts that the service
# has to own; these name where and who, and so are the operator's.
QUERY_OPTIONS = frozenset(
    {"db", "username", "password", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_certfile",
     "ssl_keyfile"}
)  # fmt: skip

_QUERY_PASSWORD = re.compile(r"((?:^|[?&])password=)[^&]*", re.IGNORECASE)


def check(url: str) -> str:
    """The URL itself, if it can be connected to. Any thread.

    Raises:
        ValueError: says what is wrong, without repeating any part that may be a secret.
    """
    parts = _split(url)
    if parts.scheme not in SCHEMES:
        raise ValueError("its scheme is none of redis://, rediss://, unix://")
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("it names no socket")
    if parts.scheme != "unix" and not parts.hostname:
        raise ValueError("it names no host")
    if parts.fragment:
        raise ValueError("it has a '#'; in a password write it as %23")
    unknown = sorted(set(parse_qs(parts.query, keep_blank_values=True)) - QUERY_OPTIONS)
    if unknown:
        raise ValueError(f"its query holds something other than {', '.join(sorted(QUERY_OPTIONS))}")
    database(url)
    return url


def database(url: str) -> int:
    """The number of the database that the URL selects, 0 where it names none."""
    parts = _split(url)
    named = parse_qs(parts.query).get("db", [""])[0]
    if not named and parts.scheme != "unix":
        named = unquote(parts.path).strip("/")
    if not named:
        return 0
    if not re.fullmatch(r"[0-9]{1,9}", named):
        raise ValueError("its database is not a number")
    return int(named)


def secrets(url: str) -> tuple[str, ...]:
    """Every spelling of the password in it: as written and unquoted. Empty where there is none."""
    try:
        parts = urlsplit(url)
        found = {parts.password or "", *parse_qs(parts.query).get("password", [])}
    except ValueError:
        return ()
    found |= set(_QUERY_PASSWORD.findall(parts.query) and re.findall(r"password=([^&]*)", parts.query))
    found |= {unquote(secret) for secret in found}
    return tuple(sorted(found - {""}))


def mask(url: str) -> str:
    """The URL with ``***`` for its password, also for a URL too broken to be parsed.

    What stands before the last ``@`` counts as user information, so that an unquoted ``@`` or ``/`` in a
    password cannot let its rest through.
    """
    url = _QUERY_PASSWORD.sub(rf"\g<1>{MASK}", url)
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, user_info = head.rpartition("://") if head.count("://") == 1 else head.partition("://")
    if not slashes:
        scheme, user_info = "", head
    user, colon, _ = user_info.partition(":")
    return f"{scheme}{slashes}{user + colon if colon else ''}{MASK}@{tail}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.port == 0:
            raise ValueError
    except ValueError:
        raise ValueError("its host and port cannot be told apart") from None
    return parts
