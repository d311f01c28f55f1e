"""The former name of ``cluster_state``, for branches that were begun before the rename."""

from tests.harness.cluster_state import *  # noqa: F403
