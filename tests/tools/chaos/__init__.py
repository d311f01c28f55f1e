"""Chaos: three real replicas, and everything around them dies, freezes, hangs and comes back at random."""

from tests.tools.chaos.run import chaos

__all__ = ["chaos"]
