"""The former name of ``scenarios``, for branches that were begun before the rename."""

from tests.harness.scenarios import *  # noqa: F403
