"""The former name of ``chaos_report``, for branches that were begun before the rename."""

from tests.harness.chaos_report import *  # noqa: F403
