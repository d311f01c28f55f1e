"""An embedded cluster on loopback: the Kubernetes API for Pods, a kubelet, and Redis.

It is what ``make demo``, the tests, and users without a cluster run against. It agrees with a real
API server because ``tests/conformance`` holds both to the same statements. Nothing here serves
anyone but this machine: there is no TLS and, unless a token is asked for, no authentication.
"""

from ottoscaler.local.cluster import LocalCluster

__all__ = ["LocalCluster"]
