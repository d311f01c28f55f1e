"""The crash matrix: one event, and a fault at each of the service's outside calls in turn."""

from tests.tools.crash_matrix.faults import FAULTS
from tests.tools.crash_matrix.life import LANES, reference, rows, run

__all__ = ["FAULTS", "LANES", "reference", "rows", "run"]
