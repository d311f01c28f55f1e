"""The fault switches for single requests: faults of the server, the network or an admission webhook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ottoscaler.local.apiserver.fault_plan import FaultPlan, Rule
from ottoscaler.model import JsonObject

WEBHOOK = "webhook.example.com"
PODS_PATH = r"/pods(\?|$)"


class RequestFaults:
    """Faults of later requests. Any thread; each call returns when the fault is in force.

    ``times`` is the number of requests; None means until ``clear``. ``verb`` is Kubernetes' word (create,
    get, list, watch, delete, patch...). ``path`` is a regular expression that is searched in the request's
    path and query.
    """

    def __init__(self, plan: FaultPlan, call: Callable[[Callable[[], Any]], Any]) -> None:
        self._plan, self._call = plan, call

    def _add(self, rule: Rule) -> None:
        self._call(lambda: self._plan.rules.append(rule))

    # --- the server and the network

    def lose_create_replies(self, times: int | None = 1, path: str | None = PODS_PATH) -> None:
        """The Pod is created, then the connection is cut without an answer."""
        self.lose_replies("create", times, path)

    def lose_replies(self, verb: str, times: int | None = 1, path: str | None = None) -> None:
        """The request is carried out, then the connection is cut without an answer."""
        self._add(Rule("lose_reply", times, verb, path))

    def answer(
        self,
        status: int,
        times: int | None = 1,
        verb: str | None = None,
        path: str | None = None,
        *,
        retry_after: int = 0,
        reason: str = "",
        message: str = "",
    ) -> None:
        """The request is not carried out, and is answered with this status (429 with ``Retry-After``)."""
        self._add(Rule("answer", times, verb, path, status, reason, message, retry_after))

    def slow(
        self, seconds: float, verb: str | None = None, path: str | None = None, times: int | None = None
    ) -> None:
        """The request is carried out and answered only after ``seconds``, unless its client gives up before.

        If ``seconds`` is more than a real server's 60 s, it is answered with 504 then, and not carried out.
        """
        self._add(Rule("slow", times, verb, path, seconds=seconds))

    def hang(self, verb: str | None = None, path: str | None = None, times: int | None = 1) -> None:
        """The request is neither carried out nor answered; its connection stays open."""
        self._add(Rule("hang", times, verb, path))

    def deliver_late(
        self, seconds: float, verb: str = "create", path: str | None = PODS_PATH, times: int | None = 1
    ) -> None:
        """The request is carried out after ``seconds``, even if its client has gone by then.

        A proxy does this if it keeps a whole request and passes it on later. With ``math.inf``, the request
        is kept until :meth:`deliver_kept`.
        """
        self._add(Rule("late", times, verb, path, seconds=seconds))

    def deliver_kept(self) -> None:
        """Carry out the requests that :meth:`deliver_late` keeps."""

        def deliver() -> None:
            kept, self._plan.kept = self._plan.kept, []
            for each in kept:
                each()

        self._call(deliver)

    # --- admission of new Pods

    def slow_admission(self, seconds: float, times: int | None = None, path: str | None = PODS_PATH) -> None:
        """Webhooks take ``seconds`` over each create, as :meth:`slow` does."""
        self.slow(seconds, "create", path, times)

    def deny_admission(
        self,
        message: str = "",
        status: int = 403,
        times: int | None = None,
        path: str | None = PODS_PATH,
        *,
        reason: str = "",
        webhook: str = WEBHOOK,
    ) -> None:
        """A validating webhook denies creates with this status (any from 400) and message."""
        self._add(Rule("deny", times, "create", path, status, reason, message, webhook=webhook))

    def fail_admission(
        self,
        message: str = "context deadline exceeded",
        times: int | None = None,
        path: str | None = PODS_PATH,
        *,
        webhook: str = WEBHOOK,
    ) -> None:
        """A webhook with failurePolicy Fail does not answer, so creates are answered with 500."""
        self._add(Rule("fail_webhook", times, "create", path, message=message, webhook=webhook))

    def relabel(
        self, labels: dict[str, str | None], times: int | None = None, path: str | None = PODS_PATH
    ) -> None:
        """A mutating webhook gives new Pods these labels, and removes each label whose value is None."""
        self._add(Rule("relabel", times, "create", path, labels=dict(labels)))

    def rename(self, prefix: str, times: int | None = None, path: str | None = PODS_PATH) -> None:
        """A mutating webhook puts ``prefix`` before new Pods' names."""
        self._add(Rule("rename", times, "create", path, prefix=prefix))

    def respec(
        self,
        spec: JsonObject,
        times: int | None = None,
        path: str | None = PODS_PATH,
        *,
        sidecar: JsonObject | None = None,
    ) -> None:
        """A mutating webhook sets these fields of new Pods' specs, and adds a sidecar before their
        containers."""
        self._add(Rule("respec", times, "create", path, spec=dict(spec), sidecar=sidecar))
