"""Network policies as Kubernetes defines them: may one peer connect to another?

An ``ipBlock`` counts for Pods too, as some network plugins have it, so a policy must hold either way.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """A Pod, or with an empty namespace an address outside the cluster."""

    address: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)


def may_connect(made: list[Json], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether the policies among the objects ``made`` let ``source`` open a connection to ``target``."""
    names = {o["metadata"]["name"]: o["metadata"].get("labels", {}) for o in made if o["kind"] == "Namespace"}
    policies = [o for o in made if o["kind"] == "NetworkPolicy"]
    sides = (("Egress", source, target, "to"), ("Ingress", target, source, "from"))
    return all(
        _one_way(policies, names, kind, own, other, other_key, port, protocol)
        for kind, own, other, other_key in sides
    )


def _one_way(
    policies: list[Json], names: Json, kind: str, own: Peer, other: Peer, key: str, port: int, protocol: str
) -> bool:
    here = [
        policy["spec"]
        for policy in policies
        if own.namespace == policy["metadata"]["namespace"]
        and kind in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], own.labels)
    ]
    rules = [rule for spec in here for rule in spec.get(kind.lower(), [])]
    return not here or any(
        any(_is(each, names, other) for each in rule.get(key, [{}]))
        and any(
            (p["port"], p["protocol"]) == (port, protocol) for p in rule.get("ports", [_port(port, protocol)])
        )
        for rule in rules
    )


def _port(port: int, protocol: str) -> Json:
    return {"port": port, "protocol": protocol}


def _is(selector: Json, names: Json, peer: Peer) -> bool:
    if not selector:
        return True
    if "ipBlock" in selector:
        block, address = selector["ipBlock"], ipaddress.ip_address(peer.address)
        inside = [ipaddress.ip_network(each) for each in (block["cidr"], *block.get("except", []))]
        return address in inside[0] and not any(address in each for each in inside[1:])
    if not peer.namespace:
        return False
    labels = names.get(peer.namespace, {"kubernetes.io/metadata.name": peer.namespace})
    return (
        _selects(selector["namespaceSelector"], labels)
        and _selects(selector.get("podSelector", {}), peer.labels)
        if "namespaceSelector" in selector
        else _selects(selector["podSelector"], peer.labels)
    )


def _selects(selector: Json, labels: dict[str, str]) -> bool:
    exact = all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())
    return exact and all(_meets(each, labels) for each in selector.get("matchExpressions", []))


def _meets(expression: Json, labels: dict[str, str]) -> bool:
    assert expression["operator"] == "NotIn", expression
    return labels.get(expression["key"]) not in expression["values"]
