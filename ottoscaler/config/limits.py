"""The rules for events and Pods, from the operator's settings. The service and ``send`` share them."""

from __future__ import annotations

from ottoscaler.config.settings import Settings
from ottoscaler.events.images import ImagePolicy
from ottoscaler.events.parse import Limits
from ottoscaler.model import KeepLogs
from ottoscaler.pods.plan import PodDefaults


def limits(settings: Settings) -> Limits:
    """The most that an event may ask for."""
    return Limits(
        max_pods_per_event=settings.max_pods_per_event,
        max_event_bytes=settings.max_event_bytes,
        max_timeout_seconds=settings.max_timeout_seconds,
        max_event_retries=settings.max_event_retries,
        max_cpu=settings.max_cpu,
        max_memory=settings.max_memory,
        allowed_images=ImagePolicy(settings.allowed_images),
        unknown_fields=settings.unknown_fields,
        # An event may always ask for the logs that are kept by default.
        max_logs=max(KeepLogs(settings.logs), KeepLogs(settings.max_logs), key=lambda each: each.rank),
    )


def pod_defaults(settings: Settings) -> PodDefaults:
    """The values for what an event leaves out. Installation and owner are filled in when a Pod is planned."""
    return PodDefaults(
        instance=settings.instance,
        installation="",
        namespace=settings.namespace,
        agent_image=settings.agent_image,
        pending_timeout_seconds=settings.pending_timeout_seconds,
        default_timeout_seconds=settings.worker_timeout_seconds,
        default_max_retries=settings.max_retries,
        start_gate=settings.start_gate,
    )
