"""The chart's values: what they make, what is refused, and with which words."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ottoscaler.config import load as config
from tests.chart.rendering import CHART, EXAMPLES, Json, helm, helm_3, refusal, template
from tests.unit.manifests.kustomize import find
from tests.unit.manifests.podsecurity import violations


def settings(made: list[Json]) -> dict[str, str]:
    (data,) = (o["data"] for o in made if o["metadata"]["name"] == "ottoscaler-settings")
    return dict(data)


def pod_spec(made: list[Json]) -> Json:
    spec: Json = find(made, "Deployment", "ottoscaler")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("examples", [(), ("kind",), ("production",), ("production", "openshift")])
def test_lint_finds_nothing(examples: tuple[str, ...]) -> None:
    files = [argument for name in examples for argument in ("--values", str(EXAMPLES / f"{name}.yaml"))]
    done = helm("lint", str(CHART), "--strict", "--kube-version", "1.37", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout
    assert "[ERROR]" not in done.stdout


# --- a matrix of values

REDIS: dict[str, tuple[Json, Json]] = {
    "url": ({}, {}),
    "url-tls": ({"tls": {"caKey": "ca.crt"}}, {"REDIS_TLS_CA_FILE": "/etc/ottoscaler/redis/ca.crt"}),
    "host": (
        {"host": "redis.example.com", "port": 6390, "db": 3, "secret": {"passwordKey": "password"}},
        {"REDIS_HOST": "redis.example.com", "REDIS_PORT": "6390", "REDIS_DB": "3"},
    ),
    "password-file": (
        {"host": "r", "secret": {"passwordKey": "password", "passwordAsFile": True}},
        {"REDIS_HOST": "r", "REDIS_PASSWORD_FILE": "/etc/ottoscaler/redis/password"},
    ),
    "client-certificate": (
        {"host": "r", "tls": {"caKey": "ca.crt", "certKey": "tls.crt", "keyKey": "tls.key"}},
        {
            "REDIS_HOST": "r",
            "REDIS_TLS_CA_FILE": "/etc/ottoscaler/redis/ca.crt",
            "REDIS_TLS_CERT_FILE": "/etc/ottoscaler/redis/tls.crt",
            "REDIS_TLS_KEY_FILE": "/etc/ottoscaler/redis/tls.key",
        },
    ),
    "sentinel": (
        {"sentinel": {"master": "otto", "nodes": ["a:26379", "b:26380"]}},
        {"REDIS_SENTINELS": "a:26379,b:26380", "REDIS_SENTINEL_MASTER": "otto"},
    ),
    "cluster": (
        {"cluster": {"hashTag": "otto"}},
        {
            "REDIS_STREAM": "{otto}:scale:events",
            "REDIS_RESULTS_STREAM": "{otto}:scale:results",
            "REDIS_DEAD_STREAM": "{otto}:scale:dead",
        },
    ),
    "builtin": ({"builtin": {"enabled": True}}, {"REDIS_HOST": "redis"}),
}
WORKER: Json = {"spec": {"containers": [{"name": "worker"}], "securityContext": {"runAsUser": 65532}}}
NAMESPACES: list[Json] = [{}, {"namespace": "otto-workers"}, {"namespace": "mine", "createNamespace": False}]
# Every Redis with every namespace; gate and OpenShift change with them so that every two values meet.
MATRIX = [
    (redis, where, (row + where) % 2 == 1, (row // 2 + where) % 2 == 1)
    for (row, redis), where in itertools.product(enumerate(REDIS), range(len(NAMESPACES)))
]


@pytest.mark.parametrize("redis", REDIS)
def test_redis_is_reached_as_the_values_say(redis: str) -> None:
    values, expected = REDIS[redis]
    made = template(values={"redis": values})
    given = settings(made)
    assert {name: value for name, value in given.items() if name.startswith("REDIS_")} == expected
    (container,) = pod_spec(made)["containers"]
    secrets = {e["name"] for e in container["env"] if "secretKeyRef" in e["valueFrom"]}
    assert ("REDIS_URL" in secrets) == (redis in ("url", "url-tls", "cluster"))
    assert ("REDIS_PASSWORD" in secrets) == (redis == "host")
    files = {value.rpartition("/")[2] for name, value in given.items() if name.endswith("_FILE")}
    mounted = [volume["secret"]["items"] for volume in pod_spec(made)["volumes"] if "secret" in volume]
    assert {item["path"] for items in mounted for item in items} == files
    ports = {p["port"] for p in find(made, "NetworkPolicy", "ottoscaler")["spec"]["egress"][0]["ports"]}
    assert {6379, 6390 if redis == "host" else 6379, 26380 if redis == "sentinel" else 26379} <= ports
    ours = {k: v for k, v in given.items() if not k.endswith("_FILE") and k != "OTTO_TEMPLATES_DIR"}
    assert config.load(ours).warnings == ()  # the service takes them


def test_matrix_of_values_keeps_names_rights_and_settings_together() -> None:
    for redis, where, gate, openshift in MATRIX:
        values = {
            "redis": REDIS[redis][0],
            "workers": NAMESPACES[where],
            "startGate": {"enabled": gate},
            "openshift": {"enabled": openshift},
            "templates": {"default": WORKER},
        }
        made = template(values=values)
        workers = NAMESPACES[where].get("namespace", "ottoscaler")
        assert settings(made).get("NAMESPACE", "ottoscaler") == workers
        assert find(made, "Role")["metadata"]["namespace"] == workers
        assert ("patch" in find(made, "Role")["rules"][0]["verbs"]) == gate
        assert (settings(made).get("OTTO_START_GATE") == "true") == gate
        assert [o["metadata"]["name"] for o in made if o["kind"] == "Namespace"] == (
            [workers] if where == 1 else []
        )
        for item in made:
            if item["kind"] in ("Deployment", "StatefulSet"):
                spec = item["spec"]["template"]["spec"]
                assert violations(spec) == []
                assert ("runAsUser" in spec["securityContext"]) != openshift
        (data,) = (o["data"] for o in made if o["metadata"]["name"] == "ottoscaler-templates")
        assert ("runAsUser" in data["default.yaml"]) != openshift


def test_two_releases_in_one_namespace_share_no_name_and_no_label() -> None:
    def names(release: str) -> set[tuple[str, str]]:
        return {(o["kind"], o["metadata"]["name"]) for o in template(release=release)}

    assert names("ottoscaler").isdisjoint(names("blue"))
    made = template(release="blue")
    selected = {"app": "blue-ottoscaler"}
    assert find(made, "Deployment")["spec"]["selector"]["matchLabels"] == selected
    assert find(made, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == selected


@pytest.mark.parametrize("release", ["ottoscaler", "blue"])
def test_alert_of_replicas_that_are_not_ready_names_the_pods_of_its_release(release: str) -> None:
    made = template(values={"monitoring": {"prometheusRule": {"enabled": True}}}, release=release)
    rules = find(made, "PrometheusRule")["spec"]["groups"][0]["rules"]
    (expression,) = (rule["expr"] for rule in rules if rule["alert"] == "OttoscalerNotReady")
    (pods,) = re.findall(r'pod=~"(.*)"', expression)
    assert re.fullmatch(pods, find(made, "Deployment")["metadata"]["name"] + "-7d9c5b6f4-x2x7k")


def test_large_numbers_and_a_bare_off_arrive_as_they_were_written() -> None:
    made = settings(
        template(
            values={
                "settings": {"OTTO_RESULTS_MAX_BYTES": 67108864, "OTTO_POLL_SECONDS": 0.5, "OTTO_LOGS": False}
            }
        )
    )
    assert made["OTTO_RESULTS_MAX_BYTES"] == "67108864"
    assert made["OTTO_POLL_SECONDS"] == "0.5"
    assert made["OTTO_LOGS"] == "off"


@pytest.mark.parametrize("written", [True, "true"])
def test_truth_value_arrives_as_the_service_reads_it(written: bool | str) -> None:
    assert settings(template(values={"settings": {"OTTO_ONE_CPU": written}}))["OTTO_ONE_CPU"] == "true"


def test_settings_whose_lines_are_all_comments_are_none() -> None:
    # Helm 4 shows the notes for a dry install alone, and they read the settings too.
    assert "XADD 'otto:scale:events'" in notes({"settings": None, "redis": {"builtin": {"enabled": True}}})


def test_null_takes_out_a_template_of_the_file_before() -> None:
    made = template("production", values={"templates": {"large": None}})
    (data,) = (o["data"] for o in made if o["metadata"]["name"] == "ottoscaler-templates")
    assert list(data) == ["default.yaml"]


def test_openshift_takes_fixed_ids_out_of_the_containers_too() -> None:
    fixed = {"runAsUser": 65532, "runAsGroup": 65532, "allowPrivilegeEscalation": False}
    container = {"name": "worker", "securityContext": fixed}
    pod: Json = {"spec": {"containers": [container], "initContainers": [{**container, "name": "first"}]}}
    made = template(values={"openshift": {"enabled": True}, "templates": {"default": pod}})
    (data,) = (o["data"] for o in made if o["metadata"]["name"] == "ottoscaler-templates")
    spec = yaml.safe_load(data["default.yaml"])["spec"]
    for each in (*spec["containers"], *spec["initContainers"]):
        assert each["securityContext"] == {"allowPrivilegeEscalation": False}


@pytest.mark.parametrize("name", ["2024", "0x1f", "on", "null"])
def test_name_that_yaml_takes_for_something_else_stays_a_name(name: str) -> None:
    values: Json = {
        "fullnameOverride": name,
        "redis": {
            "builtin": {"enabled": True, "name": "off" if name == "on" else "on", "storageClassName": name},
            "secret": {"name": name},
        },
        "workers": {"namespace": name, "quota": {"pods": 1}, "limits": [{"type": "Container"}]},
        "priorities": {"enabled": True, "service": {"name": name}, "workers": {"name": f"{len(name)}"}},
        "monitoring": {
            "release": name,
            **{one: {"enabled": True} for one in ("podMonitor", "prometheusRule")},
        },
    }
    elsewhere: Json = {
        "priorityClassName": name,
        "redis": {"secret": {"name": name, "urlKey": "1"}, "tls": {"caKey": "2"}},
    }
    for given in (values, elsewhere):
        for made in template(values=given, release=name):
            assert not_text(made) == [], made["kind"]


def not_text(item: Json) -> list[str]:
    """Names, namespaces, labels and the like that are no strings."""
    texts = {"name", "namespace", "app", "release", "secretName", "key", "path", "priorityClassName", "image"}
    texts |= {"storageClassName", "serviceAccountName", "serviceName", "app.kubernetes.io/instance", "values"}
    found: list[str] = []
    for field, value in item.items():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                found += not_text(inner)
            elif field in texts and not isinstance(inner, str):
                found.append(f"{field}: {inner!r}")
    return found


@pytest.mark.parametrize(("grace", "expected"), [(0, 40), (20, 60), ("90.5", 131), (None, 640)])
def test_grace_period_of_the_pods_follows_the_setting(grace: Any, expected: int) -> None:
    made = template(values={"settings": {"OTTO_SHUTDOWN_GRACE_SECONDS": grace}})
    assert pod_spec(made)["terminationGracePeriodSeconds"] == expected


def test_port_is_the_same_for_the_service_its_pods_and_its_policy() -> None:
    made = template(values={"settings": {"OTTO_HTTP_PORT": 8081}})
    (container,) = pod_spec(made)["containers"]
    (rule,) = find(made, "NetworkPolicy", "ottoscaler")["spec"]["ingress"]
    assert (container["ports"][0]["containerPort"], rule["ports"][0]["port"]) == (8081, 8081)
    assert settings(made)["OTTO_HTTP_PORT"] == "8081"


@pytest.mark.parametrize(
    ("logs", "most", "needed"),
    [
        (None, None, True),
        ("off", None, True),
        ("off", "failed", True),
        ("off", "off", False),
        (False, False, False),
    ],
)
def test_right_to_logs_is_granted_where_some_log_may_be_asked_for(logs: Any, most: Any, needed: bool) -> None:
    given = {"OTTO_LOGS": logs, "OTTO_MAX_LOGS": most}
    made = template(values={"settings": {name: value for name, value in given.items() if value is not None}})
    resources = [rule["resources"] for rule in find(made, "Role")["rules"]]
    assert (["pods/log"] in resources) == needed


# --- refusals

REFUSED: dict[str, tuple[Json, str]] = {
    "a misspelt value": ({"replica": 3}, "additional properties 'replica' not allowed"),
    "another case": ({"redis": {"Host": "x"}}, "at '/redis': additional properties 'Host' not allowed"),
    "a misspelt setting": (
        {"settings": {"OTTO_MAX_WORKER": 5}},
        "at '/settings': additional properties 'OTTO_MAX_WORKER' not allowed",
    ),
    "a setting that another value makes": ({"settings": {"NAMESPACE": "x"}}, "'NAMESPACE' not allowed"),
    "a password in the open": ({"settings": {"REDIS_PASSWORD": "x"}}, "'REDIS_PASSWORD' not allowed"),
    "no number": (
        {"settings": {"OTTO_MAX_WORKERS": "many"}},
        "at '/settings/OTTO_MAX_WORKERS': 'many' does not",
    ),
    "too large": ({"settings": {"OTTO_MAX_WORKERS": 10001}}, "maximum: got 10,001, want 10,000"),
    "no such word": ({"settings": {"OTTO_LOGS": "some"}}, "must be one of 'off', 'failed', 'all', false"),
    "no port for the probes": ({"settings": {"OTTO_HTTP_PORT": 0}}, "minimum: got 0, want 1"),
    "a text for replicas": ({"replicas": "three"}, "at '/replicas': got string, want integer"),
    "a tag in the repository's place": ({"image": {"digest": "abc"}}, "at '/image/digest'"),
    "a pull policy": ({"image": {"pullPolicy": "Sometimes"}}, "'Always', 'IfNotPresent', 'Never'"),
    "a template's name": ({"templates": {"Big": {"spec": {"containers": [{}]}}}}, "propertyName 'Big'"),
    "a template that is no Pod": ({"templates": {"big": {"kind": "Job"}}}, "missing property 'spec'"),
    "a sentinel without a port": ({"redis": {"sentinel": {"nodes": ["a"]}}}, "at '/redis/sentinel/nodes/0'"),
    "sentinels without a master": (
        {"redis": {"sentinel": {"nodes": ["a:26379"]}}},
        "redis.sentinel.master is not set although redis.sentinel.nodes is",
    ),
    "a certificate without its key": (
        {"redis": {"tls": {"certKey": "tls.crt"}}},
        "redis.tls.certKey and redis.tls.keyKey need each other",
    ),
    "a password's file without its key": (
        {"redis": {"secret": {"passwordAsFile": True}}},
        "redis.secret.passwordAsFile needs redis.secret.passwordKey",
    ),
    "OpenShift with the built-in template": (
        {"openshift": {"enabled": True}},
        "openshift.enabled needs templates.default, since the built-in template has fixed ids",
    ),
    "an address that no probe reaches": (
        {"settings": {"OTTO_HTTP_ADDRESS": "127.0.0.1"}},
        "settings.OTTO_HTTP_ADDRESS is the pod's loopback, where no probe reaches it",
    ),
    "a stream outside the hash tag": (
        {"redis": {"cluster": {"hashTag": "otto"}}, "settings": {"REDIS_RESULTS_STREAM": "results"}},
        "settings.REDIS_RESULTS_STREAM is results, without the tag {otto} of redis.cluster.hashTag",
    ),
    "two places for Redis": (
        {"redis": {"host": "r", "port": 6390, "builtin": {"enabled": True}}},
        "redis.host, redis.sentinel.nodes and redis.builtin.enabled each say where Redis is; set one of them",
    ),
    "the built-in Redis by TLS": (
        {"redis": {"builtin": {"enabled": True}, "tls": {"caKey": "ca.crt"}}},
        "redis.builtin has no TLS, user or password",
    ),
    "the built-in Redis under the service's name": (
        {"redis": {"builtin": {"enabled": True, "name": "ottoscaler"}}},
        "redis.builtin.name is ottoscaler, which is the service's own name",
    ),
    "an image with its tag in the repository": (
        {"image": {"repository": "registry.example.com:5000/otto/ottoscaler:0.1.0"}},
        "at '/image/repository'",
    ),
    "containers that are no list": (
        {"templates": {"big": {"spec": {"containers": {"name": "worker"}}}}},
        "at '/templates/big/spec/containers': got object, want array",
    ),
    "no Redis at all": ({"redis": {"secret": {"urlKey": ""}}}, "Nothing says where Redis is"),
    "a quantity with a blank": (
        {"resources": {"requests": {"cpu": "100 m"}}},
        "at '/resources/requests/cpu'",
    ),
    "a quantity in bytes": (
        {"workers": {"quota": {"limits.memory": "1GB"}}},
        "at '/workers/quota/limits.memory'",
    ),
    "no resource of a container": ({"resources": {"limits": {"mem": "1Gi"}}}, "properties 'mem' not allowed"),
    "nothing that a quota counts": ({"workers": {"quota": {"pod": 5}}}, "properties 'pod' not allowed"),
    "a part of a Pod": ({"workers": {"quota": {"pods": "1.5"}}}, "at '/workers/quota/pods'"),
    "a default for whole Pods": (
        {"workers": {"limits": [{"type": "Pod", "default": {"memory": "1Gi"}}]}},
        "at '/workers/limits/0': additional properties 'default' not allowed",
    ),
    "a claim's limit without a bound": (
        {"workers": {"limits": [{"type": "PersistentVolumeClaim"}]}},
        "at '/workers/limits/0': missing property 'max'",
    ),
    "a label's value": ({"nodeSelector": {"disk": "fast ssd"}}, "at '/nodeSelector/disk'"),
    "a label's name": ({"podLabels": {"-team": "ci"}}, "at '/podLabels': additional properties '-team'"),
    "the label that selects the pods": ({"podLabels": {"app": "x"}}, "podLabels.app cannot be set"),
    "an annotation of the chart's own": (
        {"podAnnotations": {"checksum/settings": "x"}},
        "podAnnotations.checksum/settings cannot be set",
    ),
    "a toleration of nothing": (
        {"tolerations": [{"value": "ci"}]},
        "'/tolerations/0': missing property 'key'",
    ),
    "a toleration of each value with a value": (
        {"tolerations": [{"key": "ci", "operator": "Exists", "value": "yes"}]},
        "at '/tolerations/0/value'",
    ),
    "seconds for what evicts nothing": (
        {"tolerations": [{"key": "ci", "effect": "NoSchedule", "tolerationSeconds": 5}]},
        "at '/tolerations/0/effect': value must be 'NoExecute'",
    ),
    "an address for a block": (
        {"networkPolicy": {"service": {"from": [{"ipBlock": {"cidr": "10.0.0.1"}}]}}},
        "at '/networkPolicy/service/from/0/ipBlock/cidr'",
    ),
    "a block of nothing": (
        {"networkPolicy": {"workers": {"to": [{"ipBlock": {}}]}}},
        "at '/networkPolicy/workers/to/0/ipBlock': missing property 'cidr'",
    ),
    "a block and a selector in one": (
        {"networkPolicy": {"workers": {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}}},
        "at '/networkPolicy/workers/to/0'",
    ),
    "a misspelt selector": (
        {"networkPolicy": {"workers": {"to": [{"podSelector": {"matchLabel": {"a": "b"}}}]}}},
        "additional properties 'matchLabel' not allowed",
    ),
    "a Service that begins with a digit": (
        {"redis": {"builtin": {"enabled": True, "name": "1redis"}}},
        "at '/redis/builtin/name'",
    ),
    "an image in capitals": ({"image": {"repository": "ghcr.io/Otto"}}, "at '/image/repository'"),
    "a tag that begins with a dash": ({"image": {"tag": "-1"}}, "at '/image/tag'"),
    "a key that is a path": ({"redis": {"secret": {"urlKey": ".."}}}, "at '/redis/secret/urlKey'"),
    "a class of Kubernetes's own": (
        {"priorities": {"enabled": True, "service": {"name": "system-otto"}}},
        "Kubernetes keeps names that begin with system- for itself",
    ),
    "one name for two classes": (
        {"priorities": {"enabled": True, "service": {"name": "x"}, "workers": {"name": "x"}}},
        "priorities.service.name and priorities.workers.name are both x",
    ),
    "a template without a worker": (
        {"templates": {"default": {"spec": {"containers": [{"name": "main"}]}}}},
        "templates.default has 0 containers named worker; it needs exactly one",
    ),
    "a template with two workers": (
        {"templates": {"big": {"spec": {"containers": [{"name": "worker"}, {"name": "worker"}]}}}},
        "templates.big has 2 containers named worker",
    ),
    "a port that is none": ({"settings": {"OTTO_HTTP_PORT": "99999"}}, "at '/settings/OTTO_HTTP_PORT'"),
    "an instance that is no label": ({"settings": {"OTTO_INSTANCE": "CI_1"}}, "at '/settings/OTTO_INSTANCE'"),
    "a stream with a blank": ({"settings": {"REDIS_STREAM": "a b"}}, "at '/settings/REDIS_STREAM'"),
    "CPU in words": ({"settings": {"OTTO_MAX_CPU": "8 cores"}}, "at '/settings/OTTO_MAX_CPU'"),
    "more replicas than a number holds": ({"replicas": 10**12}, "at '/replicas': maximum"),
    "a limit below the request that stays": (
        {"resources": {"limits": {"memory": "128Mi"}}},
        "resources.limits.memory is 128Mi, less than resources.requests.memory, 160Mi: Kubernetes refuses",
    ),
    "a request above the limit that stays": (
        {"resources": {"requests": {"memory": "0.5Gi"}}},
        "resources.limits.memory is 384Mi, less than resources.requests.memory, 0.5Gi: Kubernetes refuses",
    ),
    "a limit of CPU below the request": (
        {"resources": {"limits": {"cpu": "50m"}}},
        "resources.limits.cpu is 50m, less than resources.requests.cpu, 100m: Kubernetes refuses",
    ),
    "a namespace that is no name": ({"workers": {"namespace": "Otto_Workers"}}, "at '/workers/namespace'"),
}


@pytest.mark.parametrize(
    ("request_", "limit"),
    [
        ("160Mi", "160Mi"),
        ("160Mi", "1G"),
        ("1e8", 1e9),
        ("167772160000m", "160Mi"),
        ("1Gi", "0.001Ti"),
        (0, "1Ki"),
    ],
)
def test_limit_of_at_least_the_request_passes(request_: object, limit: object) -> None:
    assert template(values={"resources": {"requests": {"memory": request_}, "limits": {"memory": limit}}})


@pytest.mark.parametrize("resources", [None, {"limits": None}, {"requests": None}])
def test_service_without_requests_or_limits_is_rendered(resources: Json | None) -> None:
    assert template(values={"resources": resources})


def test_everything_that_the_api_server_takes_passes() -> None:
    values: Json = {
        "image": {"repository": "registry.example.com:5000/otto/otto-scaler_1", "tag": "V1.0_rc-1"},
        "imagePullSecrets": [{"name": "registry.example.com"}],
        "redis": {"host": "r", "secret": {"passwordKey": ".password_1"}},
        "settings": {"OTTO_MAX_CPU": "1.5", "OTTO_MAX_MEMORY": "1e9", "OTTO_HTTP_PORT": "65535"},
        "workers": {
            "namespace": "agents",
            "quota": {
                "pods": "1k", "requests.cpu": 1.5, "limits.memory": "+1e12", "requests.nvidia.com/gpu": 4,
                "count/jobs.batch": "3", "gold.storageclass.storage.k8s.io/requests.storage": "5Ti",
            },
            "limits": [
                {"type": "Container", "default": {"cpu": 1}, "max": {"memory": "8Gi", "nvidia.com/gpu": 1}},
                {"type": "Pod", "max": {"ephemeral-storage": "50Gi"}},
                {"type": "PersistentVolumeClaim", "max": {"storage": "1Ti"}},
            ],
        },
        "networkPolicy": {
            "service": {
                "from": [
                    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                    {"namespaceSelector": {}, "podSelector": {"matchLabels": {"example.com/app": "p"}}},
                ]
            },
            "workers": {
                "to": [
                    {"ipBlock": {"cidr": "fd00::/8"}},
                    {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}},
                ]
            },
        },
        "resources": {"requests": {"cpu": 0.5, "memory": "160Mi"}, "limits": {"hugepages-2Mi": "4Mi"}},
        "nodeSelector": {"kubernetes.io/os": "linux", "topology.kubernetes.io/zone": ""},
        "tolerations": [
            {"operator": "Exists"},
            {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 60},
            {"key": "example.com/ci", "operator": "Exists", "effect": "NoSchedule"},
        ],
        "podLabels": {"example.com/team": "CI_1.x"},
        "podAnnotations": {"Example.com/note": "any text, with blanks"},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/otto"}},
    }  # fmt: skip
    assert find(template(values=values), "Deployment", "ottoscaler")


def test_labels_and_annotations_whose_lines_are_all_comments_are_none() -> None:
    assert template(values={"podLabels": None, "podAnnotations": None, "nodeSelector": None})


@pytest.mark.parametrize("case", REFUSED)
def test_mistake_is_refused_with_its_place(case: str) -> None:
    values, words = REFUSED[case]
    said = refusal(values)
    assert words in said or (helm_3() and "schema" in said)


def test_server_that_is_too_old_is_refused() -> None:
    assert "kubeVersion: >=1.21.0-0" in refusal({}, version="1.20.2")
    assert "startGate.enabled needs Kubernetes 1.27" in refusal(
        {"startGate": {"enabled": True}}, version="1.26"
    )


# --- what an operator sees


def notes(values: Json) -> str:
    """What an install says, where no cluster can be asked whether the Secret is there."""
    if helm_3():
        pytest.skip(
            "Helm 3 installs nothing without a cluster, dry or not; tests/real has what its notes say"
        )
    done = helm("install", "otto", str(CHART), "-n", "ci", "--dry-run=client", values=values)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:")[2]


def test_notes_say_what_to_type_next_with_the_release_s_own_names() -> None:
    said = notes({"redis": {"tls": {"caKey": "ca.crt"}}, "workers": {"namespace": "agents"}})
    commands = [line.strip() for line in said.splitlines() if line.strip().startswith("kubectl")]
    assert commands == [
        "kubectl -n ci create secret generic ottoscaler-redis \\",
        "kubectl -n ci rollout status deployment/otto-ottoscaler",
        "kubectl -n ci exec deployment/otto-ottoscaler -- python -m ottoscaler check",
        "kubectl -n ci exec deployment/otto-ottoscaler -- python -m ottoscaler "
        "send scale_up pod_count=3 task_id=hello --wait",
        "kubectl -n agents get pods -l managed-by=ottoscaler",
        "kubectl -n ci exec deployment/otto-ottoscaler -- python -m ottoscaler results --task hello",
    ]
    assert "--from-literal=REDIS_URL='rediss://USER:PASSWORD@HOST:6380/0' \\\n" in said
    assert "--from-file=ca.crt=ca.crt\n" in said


def test_notes_of_a_trial_ask_for_no_secret_and_speak_to_its_redis() -> None:
    said = notes({"redis": {"builtin": {"enabled": True}}})
    assert "create secret" not in said
    assert "exec statefulset/redis -- redis-cli XADD 'otto:scale:events' '*' type scale_up" in said


def test_notes_name_the_streams_of_a_redis_cluster() -> None:
    values = {"redis": {"builtin": {"enabled": True}, "cluster": {"hashTag": "otto"}}}
    assert "XADD '{otto}:scale:events'" in notes(values)


def test_notes_name_the_stream_that_the_settings_name() -> None:
    redis = {"builtin": {"enabled": True}, "cluster": {"hashTag": "otto"}}
    values = {"redis": redis, "settings": {"REDIS_STREAM": "{otto}:mine"}}
    assert "XADD '{otto}:mine'" in notes(values)


@pytest.mark.parametrize(
    ("pods", "settings", "told"),
    [
        ("199", {}, "allows 199 pods, and the replicas start up to 200 workers"),
        (200, {}, ""),
        (
            1_000_000,
            {"OTTO_MAX_WORKERS": "600000"},
            "allows 1000000 pods, and the replicas start up to 1200000",
        ),
        ("2k", {"OTTO_MAX_WORKERS": 5000}, ""),
    ],
)
def test_notes_warn_of_a_quota_with_fewer_pods_than_slots(pods: object, settings: Json, told: str) -> None:
    said = notes({"workers": {"quota": {"pods": pods}}, "settings": settings, "replicas": 2})
    assert ("The quota allows" in said) == bool(told)
    assert told in said


def test_package_has_everything_that_the_chart_renders(tmp_path: Path) -> None:
    assert helm("package", str(CHART), "--destination", str(tmp_path)).returncode == 0
    (package,) = tmp_path.iterdir()
    everything = ("--set", "monitoring.prometheusRule.enabled=true,monitoring.dashboard.enabled=true")
    first, second = (helm("template", "o", str(chart), *everything) for chart in (CHART, package))
    assert first.stdout == second.stdout
    assert "OttoscalerAbsent" in second.stdout
