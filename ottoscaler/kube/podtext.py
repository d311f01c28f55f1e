"""A Pod's JSON, cut down before it is decoded to what podview looks at.

Of the 5 kB that the API server sends with each change, half is its own book-keeping and a third what was
asked for at the creation; neither is read here. The pieces looked for cannot stand inside a JSON string,
where quotes are escaped. A text that is laid out otherwise stays whole.
"""

from __future__ import annotations

_SPEC = b'},"spec":{'  # behind the metadata's end
_STATUS = b'},"status":{'  # behind the spec's end
_MANAGED = b',"managedFields":['  # the last of the metadata
_NODE = b'"nodeName":"'


def slim(text: bytes) -> bytes:
    """A Pod, or a watch event about one, without ``managedFields``, and of its spec only ``nodeName``."""
    spec = text.find(_SPEC)
    status = text.rfind(_STATUS)
    if spec < 0 or status < spec:
        return text
    managed = text.find(_MANAGED, 0, spec)
    head = text[:managed] if managed > 0 and text[spec - 1 : spec] == b"]" else text[:spec]
    node = text.find(_NODE, spec, status)
    kept = text[node : text.find(b'"', node + len(_NODE)) + 1] if node > 0 else b""
    return b"".join((head, _SPEC, kept, text[status:]))
