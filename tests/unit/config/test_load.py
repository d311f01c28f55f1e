"""Settings: what is read, what is refused and in which words, and that no secret gets out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottoscaler.config import redis_url, settings
from ottoscaler.config.checks import WHOLE_INSTANCE
from ottoscaler.config.load import describe, load, unknown_settings
from ottoscaler.config.settings import Settings, variable
from ottoscaler.errors import BadSettings
from ottoscaler.pods.labels import pod_name
from tests.tools import settings_page


def problems(environ: Mapping[str, str]) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        load(environ)
    return caught.value.problems


def test_empty_environment_gives_the_contracts_defaults() -> None:
    loaded = load({})
    assert (loaded.redis_host, loaded.redis_port, loaded.redis_db) == ("localhost", 6379, 0)
    assert loaded.redis_stream == "otto:scale:events"
    assert (loaded.max_workers, loaded.max_pods_per_event, loaded.max_event_bytes) == (100, 1000, 65536)
    assert (loaded.poll_seconds, loaded.lease_seconds, loaded.shutdown_grace_seconds) == (2, 30, 600)
    assert (loaded.kube_qps, loaded.kube_burst, loaded.http_port) == (500, 1000, 9090)
    assert loaded.allowed_images == ("busybox:latest",)
    assert loaded.redis_consumer
    assert loaded.warnings == ()


def test_every_default_is_a_value_that_its_own_setting_accepts() -> None:
    accepted = {
        variable(name): spec.shown_default
        for name, spec in settings.SPECS.items()
        if spec.shown_default and not spec.worked_out
    }
    assert load(accepted) == load({})


def test_empty_value_counts_as_none() -> None:
    assert load({"OTTO_MAX_WORKERS": "", "REDIS_PORT": "  "}) == load({})


def test_durations_take_decimals() -> None:
    names = [name for name in settings.NAMES if name.endswith("_seconds") and name != "max_timeout_seconds"]
    loaded = load({variable(name): "2.5" for name in names})
    assert {getattr(loaded, name) for name in names} == {2.5}


def test_the_longest_run_limit_of_an_event_is_rounded_up_as_events_name_whole_seconds() -> None:
    assert load({"OTTO_MAX_TIMEOUT_SECONDS": "1.2"}).max_timeout_seconds == 2


@pytest.mark.parametrize(
    ("said", "meant"), [("warn", "WARNING"), ("Warning", "WARNING"), ("critical", "CRITICAL")]
)
def test_log_levels_have_the_names_that_people_use(said: str, meant: str) -> None:
    assert load({"OTTO_LOG_LEVEL": said}).log_level == meant


def bounds() -> list[tuple[str, str]]:
    """Every setting that takes a range of numbers, with its least and with its greatest value."""
    found = []
    for name, spec in settings.SPECS.items():
        if match := re.search(r" from (\S+) to (\S+)", spec.kind.expected):
            found += [(variable(name), match[1]), (variable(name), match[2])]
    assert len(found) > 40
    return found


LEGAL_ALONE = [
    *bounds(),
    ("OTTO_MAX_CPU", "1m"),
    ("OTTO_MAX_MEMORY", "1"),
    ("REDIS_SENTINEL_MASTER", "mymaster"),
    ("REDIS_TLS_CA_FILE", __file__),
    ("REDIS_STREAM", "otto"),
    ("REDIS_CONSUMER_GROUP", "events"),
    ("OTTO_AGENT_IMAGE", "registry.example.org:5000/a/b@sha256:" + "0" * 64),
    ("OTTO_ALLOWED_IMAGES", "nothing/at/all"),
]


@pytest.mark.parametrize(("name", "value"), LEGAL_ALONE)
def test_a_legal_value_is_never_refused_for_another_settings_default(name: str, value: str) -> None:
    load({name: value})


def test_the_most_that_an_event_may_ask_for_is_no_bound_for_the_operators_own_default() -> None:
    loaded = load({"OTTO_MAX_TIMEOUT_SECONDS": "60", "OTTO_MAX_EVENT_RETRIES": "0"})
    assert (loaded.worker_timeout_seconds, loaded.max_retries) == (3600, 2)


def test_every_problem_is_named_at_once_with_variable_value_and_what_is_expected() -> None:
    found = problems({"OTTO_MAX_WORKERS": "many", "OTTO_LOG_FORMAT": "xml", "NAMESPACE": "Prod"})
    assert len(found) == 3
    assert "OTTO_MAX_WORKERS: invalid value 'many'; expected an integer from 1 to 10000." in found
    assert "OTTO_LOG_FORMAT: invalid value 'xml'; expected one of json, text." in found
    assert any(line.startswith("NAMESPACE: invalid value 'Prod'; expected a DNS label") for line in found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTTO_MAX_WORKERS", "0"),
        ("OTTO_MAX_WORKERS", "1_0"),
        ("OTTO_MAX_WORKERS", "+5"),
        ("OTTO_MAX_WORKERS", "٣"),  # a digit, but not one that Kubernetes or a person would expect
        ("OTTO_MAX_WORKERS", "9" * 400),
        ("OTTO_POLL_SECONDS", "0"),
        ("OTTO_POLL_SECONDS", "11"),
        ("OTTO_POLL_SECONDS", "nan"),
        ("OTTO_LEASE_SECONDS", "0.4"),
        ("OTTO_LEASE_SECONDS", "30s"),
        ("OTTO_SHUTDOWN_GRACE_SECONDS", "-1"),
        ("OTTO_INSTANCE", "blue_green"),
        ("OTTO_INSTANCE", "-blue"),
        ("OTTO_INSTANCE", "b" * 64),
        ("OTTO_HTTP_PORT", "65536"),
        ("OTTO_HTTP_ADDRESS", "not an address"),
        ("OTTO_MAX_CPU", "eight"),
        ("OTTO_MAX_MEMORY", "0"),
        ("OTTO_AGENT_IMAGE", "busybox:*"),
        ("OTTO_TEMPLATES_DIR", "/nowhere/at/all"),
        ("KUBECONFIG", "/nowhere/at/all"),
        ("REDIS_TLS_CA_FILE", "/nowhere/at/all"),
        ("REDIS_STREAM", "two words"),
        ("REDIS_USERNAME", "p\udce4ssler"),  # as Python reads bytes that are not UTF-8
        ("REDIS_PASSWORD", "p\udce4ss"),
        ("REDIS_URL", "redis://:p\udce4ss@redis:6379"),
        ("REDIS_SENTINELS", "one-without-port"),
        ("REDIS_URL", "http://redis:6379"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "unix://"),
        ("REDIS_URL", "redis://redis:6379/first"),
        ("REDIS_URL", "redis://redis:99999"),
        ("REDIS_URL", "redis://redis:6379/0?socket_timeout=1"),
        ("REDIS_URL", "redis://redis:6379/0?ssl_ca_certs=/ca.crt"),  # redis-py would fail at each connection
        ("REDIS_URL", "unix:///run/redis.sock?ssl_cert_reqs=none"),
        ("REDIS_URL", "rediss://redis:6379/0?ssl_cert_reqs=perhaps"),
        ("REDIS_URL", "REDIS://redis:6379"),
        ("REDIS_URL", "redis://two words"),
        ("REDIS_URL", "unix:/run/redis.sock"),
        ("REDIS_URL", "unix://run/redis.sock"),
    ],
)
def test_wrong_value_is_refused_in_one_sentence_that_names_it(name: str, value: str) -> None:
    found = [line for line in problems({name: value}) if line.startswith(f"{name}: invalid value '")]
    assert len(found) == 1
    assert "; expected " in found[0]
    assert len(found[0]) < 600


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {"OTTO_MAX_CPU": "lots"},
            "OTTO_MAX_CPU: invalid value 'lots'; expected a Kubernetes quantity above zero, ",
        ),
        (
            {"OTTO_MAX_CPU": "0"},
            "OTTO_MAX_CPU: invalid value '0' (not above zero); expected a Kubernetes quantity ",
        ),
        ({"REDIS_URL": "redis://"}, "REDIS_URL: invalid value 'redis://' (no host); expected a URL such as "),
        ({"KUBECONFIG": "/no"}, "KUBECONFIG: invalid value '/no' (no such file); expected a "),
        (
            {"REDIS_TLS_CA_FILE": "/"},
            "REDIS_TLS_CA_FILE: invalid value '/' (not a file); expected a readable file",
        ),
        (
            {"REDIS_TLS_KEY_FILE": "k" * 300, "REDIS_TLS_CERT_FILE": __file__},
            "REDIS_TLS_KEY_FILE: invalid value 'kkk",
        ),
        ({"KUBECONFIG": f"/etc/passwd:/{'k' * 300}"}, "KUBECONFIG: invalid value '/etc/passwd:/kkk"),
        ({"OTTO_TEMPLATES_DIR": f"/{'t' * 300}"}, "OTTO_TEMPLATES_DIR: invalid value '/ttt"),
        (
            {"OTTO_AGENT_IMAGE": "a@b"},
            "OTTO_AGENT_IMAGE: invalid value 'a@b' (the digest is not sha256: and 64 hex digits); expected ",
        ),
        (
            {"OTTO_LOG_LEVEL": "LOUD"},
            "OTTO_LOG_LEVEL: invalid value 'LOUD'; expected one of DEBUG, INFO, WARNING (or WARN",
        ),
        (
            {"REDIS_STREAM": "otto:scale:dead"},
            "REDIS_STREAM and REDIS_DEAD_STREAM: both are 'otto:scale:dead'; expected a different name ",
        ),
        (
            {"REDIS_URL": "unix:///r", "REDIS_TLS_CA_FILE": "/etc/passwd"},
            "REDIS_URL: invalid value 'unix:///r' (not encrypted although REDIS_TLS_CA_FILE is '/etc",
        ),
    ],
)
def test_every_problem_reads_as_one_sentence(environ: dict[str, str], sentence: str) -> None:
    (found,) = problems(environ)
    assert found.startswith(sentence)


def test_a_key_in_a_path_s_place_is_not_shown() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n" + "K" * 300
    (found,) = problems({"REDIS_TLS_KEY_FILE": key, "REDIS_TLS_CERT_FILE": __file__})
    assert found == "REDIS_TLS_KEY_FILE: invalid value '***' (file name too long); expected a readable file."


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"REDIS_SENTINELS": "a:26379"}, "REDIS_SENTINEL_MASTER"),
        ({"REDIS_TLS_CERT_FILE": __file__}, "REDIS_TLS_KEY_FILE"),
        ({"REDIS_TLS_KEY_FILE": __file__}, "REDIS_TLS_CERT_FILE"),
        ({"REDIS_TLS_CA_FILE": __file__, "REDIS_URL": "redis://redis"}, "rediss://"),
        ({"REDIS_DEAD_STREAM": "otto:scale:results"}, "REDIS_DEAD_STREAM"),
        ({"REDIS_DEAD_STREAM": "otto:scale:events:ottoscaler:x"}, "REDIS_DEAD_STREAM"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(environ: dict[str, str], named: str) -> None:
    found = problems(environ)
    assert len(found) == 1
    assert named in found[0]


def test_unreadable_value_is_reported_once_and_not_again_by_the_checks_between_settings() -> None:
    found = problems({"REDIS_TLS_CERT_FILE": "/nowhere/at/all", "REDIS_TLS_KEY_FILE": __file__})
    assert [line.partition(":")[0] for line in found] == ["REDIS_TLS_CERT_FILE"]


def test_sentinels_are_read_as_hosts_and_ports() -> None:
    loaded = load({"REDIS_SENTINELS": "a:26379, [::1]:26380", "REDIS_SENTINEL_MASTER": "m"})
    assert loaded.redis_sentinels == (("a", 26379), ("::1", 26380))


@pytest.mark.parametrize("name", ["REDIS_PORT", "OTTO_HTTP_PORT"])
def test_service_link_is_read_as_its_port_with_a_warning(name: str) -> None:
    loaded = load({name: "tcp://10.96.0.5:6380"})
    assert 6380 in (loaded.redis_port, loaded.http_port)
    assert len(loaded.warnings) == 1
    assert "enableServiceLinks" in loaded.warnings[0]


def test_sentinels_beside_a_url_are_not_used_and_so_need_no_master() -> None:
    loaded = load({"REDIS_URL": "redis://redis", "REDIS_SENTINELS": "a:26379"})
    assert [line.partition(":")[0] for line in loaded.warnings] == ["REDIS_SENTINELS"]


def test_a_master_without_sentinels_is_warned_about() -> None:
    loaded = load({"REDIS_SENTINEL_MASTER": "mymaster"})
    assert [line.partition(":")[0] for line in loaded.warnings] == ["REDIS_SENTINEL_MASTER"]


def test_parts_beside_a_url_are_warned_about_without_their_values() -> None:
    loaded = load({"REDIS_URL": "redis://redis", "REDIS_PASSWORD": "hunter2hunter2"})
    assert len(loaded.warnings) == 1
    assert "REDIS_PASSWORD" in loaded.warnings[0]
    assert "hunter2" not in loaded.warnings[0]


@pytest.mark.parametrize(("length", "warned"), [(WHOLE_INSTANCE, False), (WHOLE_INSTANCE + 1, True)])
def test_an_instance_that_no_pods_name_holds_whole_is_warned_about(length: int, warned: bool) -> None:
    name = pod_name("i" * length, "1767225600000-9999", 9999, 99)
    assert (f"-{'i' * length}-" in name) is not warned
    warnings = load({"OTTO_INSTANCE": "i" * length}).warnings
    assert [line.partition(":")[0] for line in warnings] == ["OTTO_INSTANCE"] * warned


def test_a_password_beside_a_passwords_file_is_warned_about_without_its_value(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("from-the-file")
    for name, value in (("REDIS_PASSWORD", "hunter2hunter2"), ("REDIS_URL", "redis://:hunter2hunter2@redis")):
        loaded = load({"REDIS_PASSWORD_FILE": str(path), name: value})
        assert [line.partition(":")[0] for line in loaded.warnings] == [name]
        assert "hunter2" not in loaded.warnings[0]


@pytest.mark.parametrize(
    ("environ", "warned"),
    [
        ({"REDIS_PASSWORD": "hunter2"}, []),
        ({"REDIS_PASSWORD_FILE": __file__}, []),
        ({"REDIS_URL": "redis://redis", "REDIS_PASSWORD_FILE": __file__}, []),
        ({"REDIS_SENTINELS": "a:26379", "REDIS_SENTINEL_MASTER": "m"}, []),
        ({"REDIS_URL": "redis://redis", "REDIS_PORT": "tcp://10.96.0.5:6379"}, []),  # a Service redis
        ({"REDIS_URL": "redis://redis", "REDIS_SENTINEL_MASTER": "m"}, ["REDIS_SENTINEL_MASTER"]),
        (
            {"REDIS_URL": "redis://redis", "REDIS_PASSWORD": "hunter2", "REDIS_PASSWORD_FILE": __file__},
            ["REDIS_PASSWORD"],
        ),
    ],
)
def test_setting_that_is_ignored_is_warned_about_once_and_no_other(
    environ: dict[str, str], warned: list[str]
) -> None:
    assert [line.partition(":")[0] for line in load(environ).warnings] == warned


def test_unknown_setting_is_warned_about_with_the_name_that_was_meant() -> None:
    environ = {"OTTO_MAX_WORKRS": "5", "OTTO_EVENT_ID": "1-0", "OTTO_MAX_WORKERS": "5", "PATH": "/bin"}
    assert unknown_settings(environ) == [
        "OTTO_MAX_WORKRS: ignored, because it is not a setting of Ottoscaler; did you mean OTTO_MAX_WORKERS?"
    ]


def test_service_links_of_a_service_called_otto_are_no_unknown_settings() -> None:
    links = ("OTTO_PORT", "OTTO_SERVICE_HOST", "OTTO_SERVICE_PORT_HTTP", "OTTO_WEB_PORT_80_TCP_ADDR")
    assert unknown_settings(dict.fromkeys(links, "x")) == []


def test_instance_is_the_same_for_every_replica_and_differs_by_database_stream_and_group() -> None:
    same = {
        load({"REDIS_HOST": "a", "REDIS_DB": "3"}).instance,
        load({"REDIS_URL": "redis://b:1/3"}).instance,
        load({"REDIS_URL": "unix:///run/redis.sock?db=3"}).instance,
    }
    others = [
        load(environ).instance
        for environ in ({}, {"REDIS_STREAM": "x"}, {"REDIS_CONSUMER_GROUP": "x"}, {"REDIS_DB": "4"})
    ]
    assert len(same) == 1
    assert len({*same, *others}) == 5
    assert all(re.fullmatch(r"[0-9a-f]{10}", each) for each in (*same, *others))


def test_derived_instance_never_changes_between_versions() -> None:
    # Running Pods carry it: another value would leave them behind at an upgrade.
    assert load({}).instance == "d476867f55"


def test_namespace_is_the_service_accounts_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = tmp_path / "namespace"
    mounted.write_text("builds\n")
    monkeypatch.setattr(settings, "SERVICE_ACCOUNT_NAMESPACE", mounted)
    assert load({}).namespace == "builds"
    mounted.unlink()
    assert load({}).namespace == "default"


SECRET = "s3cr3t/with@all:kinds"


@pytest.mark.parametrize(
    "environ",
    [
        {"REDIS_PASSWORD": SECRET},
        {"REDIS_URL": "redis://otto:s3cr3t@redis:6379/0"},
        {"REDIS_URL": "redis://redis:6379/0?password=s3cr3t"},
        {"REDIS_URL": "unix:///run/redis.sock?password=s3cr3t&db=2"},
    ],
)
def test_no_secret_is_shown_by_settings(environ: dict[str, str]) -> None:
    loaded = load(environ)
    assert "s3cr3t" not in repr(loaded)
    assert "s3cr3t" not in str(describe(loaded))
    assert "***" in repr(loaded)
    assert any("s3cr3t" in each for each in loaded.secrets)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://otto:{SECRET}@redis:6379",
        f"http://otto:{SECRET}@redis:6379",
        f"otto:{SECRET}@redis:6379",
        f"redis://:{SECRET}@redis:no-port",
        "redis://redis:6379/0?password=s3cr3t&retry=1",
        "redis://s3cr3t@:6379",
        "redis://:s3cr3t",  # the host was forgotten
        "redis://:s3cr3t/0",
        "redis://:s3cr3t:6379",
        "redis://otto:s3cr3t",
        "redis://otto:x/s3cr3t",
        "redis://otto:x?s3cr3t",
        "redis://otto:x#s3cr3t",
        "redis://otto:x?s3cr3t@redis",
        "redis://otto:x#s3cr3t@redis:6379",
        "redis://redis:6379/s3cr3t",
        "redis://redis:6379/0?password=x&s3cr3t",
        "redis://redis:6379/0?pass=s3cr3t",
        "redis://redis:6379/0?pass=x@s3cr3t",
        "redis://redis:6379/0?PASSWORD=s3cr3t",
        "redis://redis:6379/0?db=s3cr3t",
        "redis://[:s3cr3t]:6379",
        "unix://:s3cr3t/run/redis.sock",
        "unix://:x/s3cr3t",
        "unix://s3cr3t",
        "REDIS://:s3cr3t@redis",
        "s3cr3t://redis:6379",
        "redis:/:s3cr3t@redis",
        "otto:s3cr3t",
        "s3cr3t",
        "redis://:\udce4s3cr3t@redis:6379",
    ],
)
def test_no_secret_is_shown_by_the_sentence_about_a_broken_url(url: str) -> None:
    (text,) = problems({"REDIS_URL": url})
    assert "s3cr3t" not in text
    assert "all:kinds" not in text


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis:6379/2",
        "rediss://[::1]:6379?ssl_ca_certs=/etc/ca.crt&db=1",
        "unix:///run/redis.sock?db=2",
        "http://redis:6379",
        "redis:6379",
    ],
)
def test_what_cannot_be_a_secret_is_shown(url: str) -> None:
    assert redis_url.mask(url) == url


@pytest.mark.parametrize(
    "environ",
    [
        {"REDIS_SENTINELS": ":s3cr3t@a:26379,b:26379", "REDIS_SENTINEL_MASTER": "m"},
        {"REDIS_SENTINELS": "a:26379,b:s3cr3t", "REDIS_SENTINEL_MASTER": "m"},
        {"REDIS_SENTINELS": ":x,s3cr3t@a:26379", "REDIS_SENTINEL_MASTER": "m"},
        {"REDIS_HOST": "redis://:s3cr3t@redis:6379"},
        {"REDIS_HOST": ":s3cr3t@redis"},
        {"REDIS_PORT": "redis://:s3cr3t@redis:6379"},
    ],
)
def test_no_secret_is_shown_that_stands_where_an_address_should(environ: dict[str, str]) -> None:
    (text,) = problems(environ)
    assert "s3cr3t" not in text
    assert "***" in text


def test_no_secret_is_shown_by_the_warning_about_a_service_link() -> None:
    (text,) = load({"REDIS_PORT": "tcp://:s3cr3t@redis:6379"}).warnings
    assert "s3cr3t" not in text


@given(password=st.text(st.characters(codec="utf-8"), min_size=6).filter(lambda text: "@" not in text))
def test_masked_url_keeps_nothing_of_any_password(password: str) -> None:
    assert redis_url.mask(f"redis://otto:{password}@host:1/0") == "redis://otto:***@host:1/0"


@given(st.dictionaries(st.sampled_from([variable(name) for name in settings.NAMES]), st.text(max_size=30)))
def test_any_environment_is_either_taken_or_refused_with_sentences(environ: dict[str, str]) -> None:
    try:
        repr(load(environ))
        sentences = []
    except BadSettings as error:
        sentences = error.problems
    assert all(line.endswith(".") and "; expected " in line for line in sentences)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        load({}).max_workers = 5  # type: ignore[misc]


def test_settings_page_is_what_the_code_says() -> None:
    written = settings_page.PAGE.read_text(encoding="utf-8")
    assert written == settings_page.render(), "the page's last line says how to write it anew"


def test_every_setting_has_a_row_in_the_table_and_a_meaning() -> None:
    tables = settings_page.tables()
    assert len(describe(Settings())) == len(settings.NAMES) == tables.count("\n| `")
    assert all(f"\n| `{name}` |" in tables for name in describe(Settings()))
    assert all(spec.meaning for spec in settings.SPECS.values())


def test_rate_of_calls_that_an_operator_set_is_the_most() -> None:
    assert load({}).kube_most_qps == 4000
    assert load({"OTTO_KUBE_QPS": "50"}).kube_most_qps == 50
