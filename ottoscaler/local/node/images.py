"""Decides whether an image exists. None is pulled: a well-formed name stands for this machine's programs."""

from __future__ import annotations

import re

_IMAGE = re.compile(
    r"(?:[a-zA-Z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]{32,})?"
)


def problem(image: str) -> tuple[str, str] | None:
    """Why a container of this image does not start, as reason and message; None if it does start.

    A malformed name is refused. A name that contains ``does-not-exist`` cannot be pulled.
    """
    if not _IMAGE.fullmatch(image):
        message = f'Failed to apply default image tag "{image}": couldn\'t parse image reference "{image}": '
        return "InvalidImageName", message + "invalid reference format"
    if "does-not-exist" in image:
        why = f'failed to pull and unpack image "{image}": not found'
        return "ErrImagePull", f"rpc error: code = NotFound desc = {why}"
    return None
