"""What Ottoscaler accepts as a ``REDIS_URL``, and how to show one without its password."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from ottoscaler.telemetry.redaction import MASK

SCHEMES = ("redis", "rediss", "unix")

# redis-py takes any connection argument from the query, also retries and timeouts, which the service must set
# itself. Only these options are allowed: they say where to connect and as whom, which is the operator's
# matter.
QUERY_OPTIONS = frozenset(
    {"db", "username", "password", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_certfile",
     "ssl_keyfile"}
)  # fmt: skip

_TLS_OPTIONS = frozenset(name for name in QUERY_OPTIONS if name.startswith("ssl_"))
_CERT_REQS = ("none", "optional", "required")

# Seen in REDIS_URL.
_OTHER_SCHEMES = (
    "http", "https", "tcp", "udp", "sctp", "valkey", "valkeys", "redis-sentinel", "redis+sentinel",
)  # fmt: skip
_HOST_TEXT = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]{2,45}\])"
_HOST = re.compile(_HOST_TEXT)
_HOST_AND_PORT = re.compile(rf"{_HOST_TEXT}:[0-9]{{1,5}}(?![^/?#])")
_ADDRESS = re.compile(rf"{_HOST_TEXT}(?::[0-9]{{1,5}})?|[0-9A-Fa-f:.]{{2,45}}")
_PLAIN_USER = re.compile(r"[A-Za-z0-9_.-]{0,64}")
_PLAIN_DATABASE = re.compile(r"[0-9]{0,9}/?")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./-]{0,200}")
_QUERY_PASSWORD = re.compile(r"((?:^|[?&])password=)[^&]*", re.IGNORECASE)


def utf8(text: str) -> str:
    """The text itself, if it can be sent to Redis. The environment may hold any bytes. Raises ValueError."""
    try:
        text.encode()
    except UnicodeEncodeError:  # its own text would quote a password
        raise ValueError("not UTF-8") from None
    return text


def check(url: str) -> str:
    """The URL itself, if it can be connected to. Any thread.

    Raises:
        ValueError: says what is wrong, without repeating any part that may be a secret.
    """
    utf8(url)
    # Not the parsed scheme, which is in lower case: redis-py reads the text itself.
    if not url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        raise ValueError("it does not begin with redis://, rediss:// or unix://")
    if "#" in url:
        raise ValueError("it contains '#'; write %23 in a password")
    parts = _split(url)
    if parts.scheme == "unix":
        _check_socket(parts)
    else:
        _check_host(parts)
    _check_query(parts)
    database(url)
    return url


def _check_socket(parts: SplitResult) -> None:
    if parts.netloc.rpartition("@")[2]:
        raise ValueError("the socket's path does not begin with '/' as in unix:///run/redis.sock")
    if not parts.path.strip("/"):
        raise ValueError("no socket")


def _check_host(parts: SplitResult) -> None:
    if not parts.hostname:
        raise ValueError("no host")
    if not _HOST.fullmatch(f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname):
        raise ValueError("the host is neither a name nor an IP address")


def _check_query(parts: SplitResult) -> None:
    options = parse_qs(parts.query, keep_blank_values=True)
    if options.keys() - QUERY_OPTIONS:
        raise ValueError(f"the query may contain only {', '.join(sorted(QUERY_OPTIONS))}")
    if parts.scheme != "rediss" and options.keys() & _TLS_OPTIONS:
        raise ValueError("the query has a TLS option, which only rediss:// supports")
    if options.get("ssl_cert_reqs", ["none"])[0] not in _CERT_REQS:
        raise ValueError(f"ssl_cert_reqs is not one of {', '.join(_CERT_REQS)}")


def database(url: str) -> int:
    """The number of the database that the URL selects; 0 if it names none. Raises ValueError."""
    parts = _split(url)
    named = parse_qs(parts.query).get("db", [""])[0]
    if not named and parts.scheme != "unix":
        named = unquote(parts.path).strip("/")
    if not named:
        return 0
    if not re.fullmatch(r"[0-9]{1,9}", named):
        raise ValueError("the database is not a number")
    return int(named)


def secrets(url: str) -> tuple[str, ...]:
    """The password in a URL, as written and unquoted. Empty if there is none."""
    try:
        parts = urlsplit(url)
        found = {parts.password or "", *parse_qs(parts.query).get("password", [])}
    except ValueError:
        return ()
    found |= set(_QUERY_PASSWORD.findall(parts.query) and re.findall(r"password=([^&]*)", parts.query))
    found |= {unquote(secret) for secret in found}
    return tuple(sorted(found - {""}))


def mask(url: str) -> str:
    """The URL with ``***`` for its password, and for every part that might be one.

    A URL that cannot be parsed is masked as well. If ``@host`` was forgotten, the password stands where the
    host should be. So only a plain host and port, database, socket path or option is shown.
    """
    scheme, slashes, rest = url.partition("://")
    if not slashes:
        scheme, rest = "", url
    elif scheme.lower() not in (*SCHEMES, *_OTHER_SCHEMES):
        scheme = MASK
    # What stands before the last "@" counts as user information: a password may hold "@" or "/" unquoted.
    user_info, at, rest = _apart(rest)
    rest, hash_sign, _ = rest.partition("#")
    rest, question, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    shown = _shown_authority(authority, named=bool(slashes) and scheme != "unix")
    if slash:
        plain = not authority if scheme == "unix" else _PLAIN_DATABASE.fullmatch(path)
        shown += slash + (path if plain else MASK)
    if question:
        shown += question + "&".join(map(_shown_option, query.split("&")))
    user = _shown_user(user_info) if at else ""
    return f"{scheme}{slashes}{user}{at}{shown}{hash_sign and '#' + MASK}"


def mask_address(text: str) -> str:
    """A text that is a host, a port or several addresses; ``***`` if it cannot be that. It may be a URL that
    somebody put into the wrong variable."""
    if "://" in text:
        return mask(text)
    return text if all(_can_be_address(item.strip()) for item in text.split(",")) else MASK


def _can_be_address(text: str) -> bool:
    return _ADDRESS.fullmatch(text) is not None or not set(text) & {":", "@"}


def _apart(rest: str) -> tuple[str, str, str]:
    user_info, at, tail = rest.rpartition("@")
    if at and "?" in user_info and not _HOST_AND_PORT.match(tail):
        # The "@" stands in the query more likely than the "?" in a password.
        before, question, query = rest.partition("?")
        user_info, at, tail = before.rpartition("@")
        return user_info, at, tail + question + query
    return user_info, at, tail


def _shown_user(user_info: str) -> str:
    user, _, password = user_info.partition(":")
    # Without a password, what stands there may be one whose ":" was forgotten.
    return f"{user}:{MASK}" if password and _PLAIN_USER.fullmatch(user) else MASK


def _shown_authority(text: str, *, named: bool) -> str:
    """The host and port if they can be shown, else ``***``.

    ``named``: a bare word can only be a host, as after ``redis://``. Otherwise it may be anything."""
    can_be_shown = not text or _HOST_AND_PORT.fullmatch(text) or (named and _HOST.fullmatch(text))
    return text if can_be_shown else MASK


def _shown_option(text: str) -> str:
    name, equals, value = text.partition("=")
    if not equals or name.lower() not in QUERY_OPTIONS:
        return MASK
    plain = _PLAIN_DATABASE if name.lower() == "db" else _PLAIN_VALUE
    shown = name.lower() not in ("username", "password") and plain.fullmatch(value)
    return f"{name}={value if shown else MASK}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme != "unix" and parts.port == 0:
            raise ValueError
    except ValueError:
        raise ValueError(
            "no valid host and port; in a password before '@', write ':', '@', '/' and '?' as %3A, %40, %2F "
            "and %3F"
        ) from None
    return parts
