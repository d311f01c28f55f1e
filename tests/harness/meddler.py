"""The former name of ``api_proxy``, for branches that were begun before the rename."""

from tests.harness.api_proxy import ApiProxy as Meddler
from tests.harness.api_proxy import behind_api_proxy as meddling

__all__ = ["Meddler", "meddling"]
