"""What went wrong with Redis, as one sentence with advice and without secrets."""

from __future__ import annotations

from ottoscaler.config import redis_url
from ottoscaler.config.settings import Settings
from ottoscaler.errors import RedisError
from ottoscaler.telemetry.redaction import MASK


def where(settings: Settings) -> str:
    """Names the Redis for people, never with a password."""
    if settings.redis_url:
        return redis_url.mask(settings.redis_url)
    if settings.redis_sentinels:
        asked = ", ".join(f"{host}:{port}" for host, port in settings.redis_sentinels)
        return f"the master {settings.redis_sentinel_master} of the Sentinels {asked}"
    tls = " with TLS" if settings.redis_tls else ""
    return f"{settings.redis_host}:{settings.redis_port}, database {settings.redis_db}{tls}"


_ADVICE = (
    (("could not be asked",), "Are they running, and reachable from here? Check REDIS_SENTINELS."),
    (("No master found",), "Is it up, and does REDIS_SENTINEL_MASTER name it as these Sentinels do?"),
    (("unknown command 'SENTINEL'", "unknown command `SENTINEL`"),
     "That is no Sentinel: REDIS_SENTINELS names Sentinels, mostly on port 26379."),
    (("unknown command",),
     "That server does not know a command of Redis; a Sentinel belongs in REDIS_SENTINELS instead."),
    (("NOAUTH", "WRONGPASS", "AUTH ", "Authentication", "invalid username"),
     "Check REDIS_USERNAME and REDIS_PASSWORD (or those in REDIS_URL, or REDIS_PASSWORD_FILE)."),
    (("_FILE '",),
     "Put the file back; it is read again at every connect, so no restart is needed."),
    (("NOPERM", "no permissions"), "Allow the ACL user to run this command on our keys (docs/redis.md)."),
    (("LOADING",), "It is loading its data; try again later."),
    (("maxmemory", "OOM"), "It is full: raise maxmemory, or wait until what has ended expires."),
    (("max number of clients",), "It has no room for one more client: raise maxclients."),
    (("read only", "READONLY"), "It is a replica; configure the master, or use REDIS_SENTINELS."),
    (("same slot", "CROSSSLOT"),
     "It is a Redis Cluster, where the streams must share a hash tag; `check` names those that would do."),
    (("DB index",), "Check REDIS_DB (or the number at the end of REDIS_URL)."),
    (("WRONGTYPE", "wrong kind of value", "is not a stream"),
     "Another program uses one of our keys; `check` names it."),
    (("CERTIFICATE_REQUIRED",),
     "It wants a client certificate: set REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE."),
    (("WRONG_VERSION_NUMBER", "record layer"),
     "Its port does not speak TLS: give the one that does, or leave TLS out (redis://, no REDIS_TLS_...)."),
    (("PEM lib", "KEY_VALUES_MISMATCH"),
     "REDIS_TLS_CERT_FILE must hold a certificate, and REDIS_TLS_KEY_FILE its key, without a password."),
    (("CERTIFICATE", "certificate", "SSL", "ssl"),
     "Compare REDIS_TLS_CA_FILE and the host name with the server's certificate."),
)  # fmt: skip

# So begin the errors that Redis itself answered (ledger/redis_errors.py).
_ANSWERED = ("Redis refuses for now: ", "Redis returned an error: ")
_ONE_SIDED_TLS = ("Timeout connecting", "closed by server", "reset by peer")


def advice(settings: Settings, error: RedisError) -> str:
    """What a person can do about the error."""
    text = str(error)
    for words, sentence_of in _ADVICE:
        if any(word in text for word in words):
            return sentence_of
    if text.startswith(_ANSWERED):
        return "It answers, so its own log and configuration say why; INFO shows its state."
    if settings.redis_url:
        name = "REDIS_URL"
    else:
        name = "REDIS_SENTINELS" if settings.redis_sentinels else "REDIS_HOST and REDIS_PORT"
    # So ends a connection where one side speaks TLS and the other does not.
    asked = ", and does it speak TLS there or not" if any(word in text for word in _ONE_SIDED_TLS) else ""
    return f"Is it running, and is it reachable from here{asked}? Check {name}."


def sentence(settings: Settings, error: RedisError) -> str:
    """What was tried, the error, and the advice; without secrets."""
    text = str(error)
    for secret in sorted(settings.secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = " ".join(text.split()).rstrip(".?")
    return f"tried Redis at {where(settings)}: {text}. {advice(settings, error)}"
