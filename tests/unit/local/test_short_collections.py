"""What a full collection of the local cluster's process visits."""

import subprocess
import sys

COLLECTS_TWICE = """
import gc
from ottoscaler.local.short_collections import shorten_collections
shorten_collections()
kept = [{"n": [n]} for n in range(1000)]
gc.collect()
assert not any(one is kept[0] for one in gc.get_objects()), "visited again"
kept.clear()
gc.collect()
ring = []
ring.append(ring)
del ring
print(gc.collect())
"""


def test_object_that_survived_a_full_collection_is_not_visited_again() -> None:
    """And a cycle that is made later is still found."""
    ran = subprocess.run([sys.executable, "-c", COLLECTS_TWICE], capture_output=True, text=True, check=False)
    assert (ran.stderr, ran.stdout.strip()) == ("", "1")
