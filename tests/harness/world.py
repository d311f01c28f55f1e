"""The former name of ``sandbox``, for branches that were begun before the rename."""

from tests.harness.sandbox import INSTANCE, REAL, Json, Kube, Replica, Sandbox, now_ms
from tests.harness.sandbox import Sandbox as World
from tests.harness.sandbox import sandbox as world

__all__ = ["INSTANCE", "REAL", "Json", "Kube", "Replica", "Sandbox", "World", "now_ms", "world"]
