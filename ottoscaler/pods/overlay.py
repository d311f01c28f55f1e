"""The rules for merging an event's fields into a template's worker container."""

from __future__ import annotations

from ottoscaler.errors import BadEvent
from ottoscaler.events import images
from ottoscaler.model import JsonObject, ScaleUp
from ottoscaler.pods.templates import Template

MAX_NAMES_TOLD = 200  # characters of env names in an error
BUSYBOX = "docker.io/library/busybox"  # the image that the built-in template's command needs
# Used if the template sets no resources; docs/templates.md promises requests and limits.
RESOURCES = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}


def lay_over(worker: JsonObject, event: ScaleUp, template: Template) -> JsonObject:
    """A new worker container: the template's, with ``event``'s fields merged in. ``env`` is always a list.

    Raises ``BadEvent``, which names each given field that the template does not accept. Any thread.
    """
    _check_accepted(event, template)
    made = dict(worker)
    if event.image is not None:
        made["image"] = event.image
    _lay_command(made, event, template)
    made["env"] = _environment(worker.get("env") or [], event, template)
    made["resources"] = _resources(worker.get("resources") or {}, event)
    # A failed worker's last log lines become its message, unless the template sets another policy.
    made.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
    return made


def literal(text: str) -> str:
    """Doubles each ``$``, because the kubelet expands ``$(NAME)`` and turns ``$$`` into ``$``."""
    return text.replace("$", "$$")


def _check_accepted(event: ScaleUp, template: Template) -> None:
    given = {
        "image": event.image is not None,
        "command": event.command is not None,
        "args": event.args is not None,
        "env": bool(event.env),
        "cpu": event.cpu is not None,
        "memory": event.memory is not None,
    }
    refused = [name for name, is_given in given.items() if is_given and name not in template.accepts]
    if refused:
        accepted = ", ".join(sorted(template.accepts)) or "none"
        raise BadEvent(
            f"profile {template.profile} does not accept {', '.join(refused)}; it accepts: {accepted}"
        )
    unlisted = sorted(name for name in event.env if not template.accepts_env(name))
    if unlisted:
        refused_names = ", ".join(unlisted)[:MAX_NAMES_TOLD]
        accepted = ", ".join(template.env_names or ())[:MAX_NAMES_TOLD]
        raise BadEvent(
            f"profile {template.profile} does not accept the env names {refused_names}; "
            f"it accepts: {accepted}"
        )


def _lay_command(made: JsonObject, event: ScaleUp, template: Template) -> None:
    if event.command is not None:
        # As with an image, the old arguments do not belong to the new command.
        made["command"] = [literal(part) for part in event.command]
        made.pop("args", None)
    elif template.builtin and (event.args is not None or images.repository(made["image"]) != BUSYBOX):
        made.pop("command", None)
    if event.args is not None:
        made["args"] = [literal(part) for part in event.args]


def _environment(theirs: list[JsonObject], event: ScaleUp, template: Template) -> list[JsonObject]:
    fixed = {variable["name"] for variable in theirs}
    given = event.env
    if template.profile == "default":
        theirs = [variable for variable in theirs if variable["name"] not in given]
        fixed = set()
    return theirs + [
        {"name": name, "value": literal(value)} for name, value in given.items() if name not in fixed
    ]


def _resources(theirs: JsonObject, event: ScaleUp) -> JsonObject:
    resources = {**theirs} if theirs else {part: dict(amounts) for part, amounts in RESOURCES.items()}
    for name, amount in (("cpu", event.cpu), ("memory", event.memory)):
        if amount is not None:
            for part in ("requests", "limits"):
                resources[part] = {**(resources.get(part) or {}), name: amount}
    return resources
