"""How a simulated Pod is to go, by its annotations (``sim/...``) and variables (``SIM_...``).

The fake kubelet of the real control plane in ``cluster/`` obeys the same ones, so that a test runs the same
against both:

=================== ============================================================== =================
start-delay         seconds from binding to Running                                0.2
run-seconds         seconds in Running; ``inf``: until it is deleted                1
exit-code, reason   the exit code (not 0: Failed), and the reason                   0, by the code
waiting             never starts, for this reason, such as ImagePullBackOff; several, with a
                    comma between them, follow each other after half a second
waiting-message     the message of the first of these reasons                       simulated
waiting-seconds     it starts after so long in the last of these reasons            never
event               the kubelet's warning about it: a reason, a space, a message    none
term-seconds        how long it takes to end when deleted (at most the grace)       0.05
term-exit-code      exit code when it is ended by a deletion                        143
log                 what ``kubectl logs`` shows                                     a note
=================== ============================================================== =================
"""

from __future__ import annotations

from collections.abc import Sequence

from ottoscaler.model import JsonObject


def text(pod: JsonObject, key: str, containers: Sequence[JsonObject] | None = None) -> str | None:
    """A Pod's value for ``key``: from its annotation, or else from the first container's variable."""
    annotations = pod["metadata"].get("annotations") or {}
    if f"sim/{key}" in annotations:
        annotated: str = annotations[f"sim/{key}"]
        return annotated
    variable = "SIM_" + key.upper().replace("-", "_")
    for container in containers if containers is not None else pod["spec"]["containers"]:
        for item in container.get("env") or []:
            if item["name"] == variable and "value" in item:
                value: str = item["value"]
                return value
    return None


def number(
    pod: JsonObject, key: str, default: float, containers: Sequence[JsonObject] | None = None
) -> float:
    """The same as a number; ``default`` if it is missing or is no number."""
    try:
        return float(text(pod, key, containers) or default)
    except ValueError:
        return default
