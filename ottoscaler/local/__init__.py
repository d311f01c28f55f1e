"""An embedded cluster on loopback: the Kubernetes API for Pods, a kubelet, and Redis.

``make demo``, the tests, and users without a cluster run against it. It agrees with a real API server,
because ``tests/conformance`` checks both against the same statements. Only this machine can reach it. There
is no TLS and, unless a token is set, no authentication.
"""

from ottoscaler.local.cluster import LocalCluster

__all__ = ["LocalCluster"]
