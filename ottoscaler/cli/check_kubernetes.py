"""What ``check`` asks Kubernetes: whether it answers, what it permits, and if our Pods are valid."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from dataclasses import replace

from ottoscaler.cli.dropped_fields import dropped
from ottoscaler.cli.finding import Finding
from ottoscaler.config.limits import pod_defaults
from ottoscaler.config.settings import Settings
from ottoscaler.errors import BadEvent, KubernetesError, KubernetesUnavailable, QuotaExceeded, RefusedForNow
from ottoscaler.kube.check_client import CheckClient
from ottoscaler.kube.credentials import Access
from ottoscaler.kube.throttle import Throttle
from ottoscaler.model import ScaleUp
from ottoscaler.pods.labels import PREFIX, selector
from ottoscaler.pods.plan import plan
from ottoscaler.pods.templates import Templates

VERBS = ("create", "get", "list", "watch", "delete")  # all that the service does to Pods
CONNECTIONS = 2
CALLS_PER_SECOND = 50  # OTTO_KUBE_QPS is for the service: at its least, these few calls would take minutes
INSTALLATIONS_NAMED = 3
DRY_RUNS = 50  # how many templates are tried; each takes a few ms, and more with admission webhooks


GATES_SINCE = (1, 27)  # on by default: Pods are held by scheduling gates
STRICT_SINCE = (1, 25)  # on by default: unknown fields are refused where a request asks for that


def is_at_least(version: str, first: tuple[int, int]) -> bool:
    """Whether a server's version, such as v1.30.2, is ``first`` or a later one."""
    match = re.match(r"v(\d+)\.(\d+)", version)
    return match is not None and (int(match[1]), int(match[2])) >= first


class KubernetesCheck:
    """Asks step by step. ``installation`` is the id that Redis keeps: '' if none yet, ``None`` if unknown."""

    def __init__(self, settings: Settings, templates: Templates | None, installation: str | None) -> None:
        self._settings = settings
        self._templates = templates
        self._installation = installation
        self._access = Access(settings.kubeconfig, CONNECTIONS)
        self._pods = CheckClient(
            self._access, settings.namespace, Throttle(CALLS_PER_SECOND, CALLS_PER_SECOND), lambda *_: None
        )

    def findings(self) -> Iterator[Finding]:
        """Yields each finding as soon as it is known. Ends early if the API server does not answer."""
        try:
            version = self._pods.version()
            yield Finding("ok", "kubernetes", f"{self._access.host} answers: {version}")
            if self._settings.start_gate and not is_at_least(version, GATES_SINCE):
                yield Finding(
                    "problem", "kubernetes", f"OTTO_START_GATE needs Kubernetes 1.27, this is {version}"
                )
            may = yield from self._permissions()
            if may["create"] and self._templates:
                yield from self._dry_runs(self._templates, version)
            if may["list"]:
                yield from self._others()
        except KubernetesError as error:
            yield Finding("problem", "kubernetes", self._access.sentence(error))

    def _permissions(self) -> Generator[Finding, None, dict[str, bool]]:
        """Yields findings, and returns for each verb whether it is allowed."""
        namespace = self._settings.namespace
        verbs = (*VERBS, "patch") if self._settings.start_gate else VERBS
        allowed = {verb: self._pods.may(verb)[0] for verb in verbs}
        missing = [verb for verb, may in allowed.items() if not may]
        if missing:
            # So answers the API server of a missing namespace, to users with rights in single namespaces.
            asked = (
                " Is NAMESPACE right, and does that namespace exist?" if len(missing) == len(verbs) else ""
            )
            # The one verb that the Role does not have by itself.
            where = "the Role in manifests/base"
            if missing == ["patch"]:
                where = "manifests/components/start-gate, or the chart's startGate.enabled,"
            yield Finding(
                "problem",
                "permissions",
                f"may not {', '.join(missing)} pods in namespace {namespace}; {where} grants it.{asked}",
            )
        else:
            yield Finding("ok", "permissions", f"may {', '.join(verbs)} pods in namespace {namespace}")
        logs = {self._settings.logs, self._settings.max_logs}
        if logs != {"off"} and not self._pods.may("get", "pods/log")[0]:
            yield Finding(
                "warning",
                "permissions",
                f"may not get pods/log in namespace {namespace}, so no logs are kept (OTTO_LOGS is "
                f"{self._settings.logs}, OTTO_MAX_LOGS {self._settings.max_logs}); the Role in "
                "manifests/base grants it.",
            )
        if not self._pods.may("list", "events")[0]:
            yield Finding(
                "warning",
                "permissions",
                f"may not list events in namespace {namespace}, so a result cannot tell why its Pod did not "
                "start; the Role in manifests/base grants it.",
            )
        return allowed

    def _dry_runs(self, templates: Templates, version: str) -> Iterator[Finding]:
        for profile in templates.names[:DRY_RUNS]:
            found = self._dry_run(profile, templates, version)
            yield found
            if found.subject == "namespace":
                return  # every template would say the same
        left = len(templates.names) - DRY_RUNS
        if left > 0:
            yield Finding("warning", "templates", f"{left} more were not tested on the API server")

    def _dry_run(self, profile: str, templates: Templates, version: str) -> Finding:
        defaults = replace(pod_defaults(self._settings), installation=self._installation or "")
        event_id = f"{int(time.time() * 1000)}-0"
        try:
            made = plan(ScaleUp(event_id, "check", 1, profile=profile), templates.get(profile), defaults)
            kept = self._pods.dry_run(made.body(0, 0))
        except QuotaExceeded as error:
            return Finding("warning", "templates", f"{profile}: workers would wait for now: {error}")
        except KubernetesUnavailable as error:
            if error.status in (0, 401):
                raise
            if error.status == 404 and isinstance(error, RefusedForNow):
                name = self._settings.namespace
                text = f"namespace {name} (NAMESPACE) does not exist: kubectl create namespace {name}"
                return Finding("problem", "namespace", text)
            return Finding("problem", "templates", f"{profile}: {error}")
        except (KubernetesError, BadEvent) as error:
            return Finding("problem", "templates", f"{profile}: the API server refuses its Pod: {error}")
        unknown = [] if is_at_least(version, STRICT_SINCE) else dropped(made.pod(0, 0), kept)
        if unknown:
            words = f"{profile}: the API server, {version}, would leave out what it does not know: "
            return Finding("problem", "templates", f"{words}{', '.join(unknown)}")
        return Finding("ok", "templates", f"{profile}: the API server would accept its Pod")

    def _others(self) -> Iterator[Finding]:
        """Findings about Pods with our instance's labels that an installation on another Redis created."""
        pods, _ = self._pods.list(selector(self._settings.instance))
        if pods and self._installation is None:
            yield Finding(
                "warning", "pods", f"{len(pods)} with our labels; their owner is unknown without Redis"
            )
            return
        strangers: dict[str, int] = {}
        for pod in pods:
            found = pod.installation
            if found != self._installation:
                strangers[found] = strangers.get(found, 0) + 1
        if not strangers:
            yield Finding("ok", "pods", f"{len(pods)} with our labels, none of another installation")
            return
        named = [f"{count} of {each or 'none'}" for each, count in sorted(strangers.items())]
        yield Finding(
            "warning",
            "pods",
            f"{sum(strangers.values())} have our labels but another installation's id "
            f"({', '.join(named[:INSTALLATIONS_NAMED])}): they are left alone. Either an Ottoscaler on "
            f"another Redis uses this namespace and instance {self._settings.instance} (give one another "
            "OTTO_INSTANCE), or Redis was emptied (docs/operations.md, section Losing Redis). In that case, "
            f"delete them when they have ended: {self._cleanup(sorted(filter(None, strangers)))}",
        )

    def _cleanup(self, installations: list[str]) -> str:
        """The shell command that deletes these installations' Pods. The names are label values, so they need
        no quotes."""
        if not installations:
            return f"kubectl delete pods -n {self._settings.namespace} NAME..."
        one = f"={installations[0]}"
        wanted = one if len(installations) == 1 else f" in ({','.join(installations[:INSTALLATIONS_NAMED])})"
        return f"kubectl delete pods -n {self._settings.namespace} -l '{PREFIX}installation{wanted}'"
