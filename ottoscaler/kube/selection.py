"""Which Pods a watch shows: those that certain owners created, or all of the instance.

An owner is an incarnation of a replica. Each Pod has the incarnation that created it as a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ottoscaler.model import PodView
from ottoscaler.pods.labels import selector

MOST_OWNERS = 64  # in one selector, some 1.2 kB of the URL. With more, the whole instance is watched
# After a takeover, the old owner stays selected for so long even if it has no Pod: a create that it sent
# before it died may still be on its way, behind a proxy or admission webhooks.
LATE_CREATE_SECONDS = 300.0
UNLABELLED = ""  # the owner of Pods without the label. No list of owners can select them


@dataclass(frozen=True, slots=True)
class Selection:
    """The Pods of these owners; with ``None``, all Pods of the instance."""

    instance: str
    owners: frozenset[str] | None = None

    @property
    def text(self) -> str:
        """The label selector."""
        return selector(self.instance, owners=self.owners or ())

    def has(self, owner: str) -> bool:
        return self.owners is None or owner in self.owners

    def shows(self, view: PodView) -> bool:
        """Whether this selects a Pod with these labels."""
        return view.managed and view.instance == self.instance and self.has(view.owner)

    def includes(self, other: Selection) -> bool:
        """Whether it selects all that the other does."""
        return self.owners is None or (other.owners is not None and other.owners <= self.owners)


class WantedOwners:
    """Whose Pods are to be watched: this process's own, and those of the owners that it took over from.

    The watcher's lock guards it. ``own`` returns the incarnations of this process."""

    def __init__(self, instance: str, own: Callable[[], Sequence[str]]) -> None:
        self.instance = instance
        self._own = own
        self._since: dict[str, float] = {}  # owner: when it was last asked for, monotonic

    def want(self, owners: Iterable[str], now: float) -> None:
        """Watch these owners' Pods too, from now on. ``now`` is monotonic."""
        for owner in owners:
            self._since[owner] = now

    def keep(self, with_pods: Iterable[str], now: float) -> None:
        """Forget the owners that were asked for long ago and are not among ``with_pods``."""
        needed = set(with_pods)
        self._since = {
            owner: since
            for owner, since in self._since.items()
            if owner in needed or now - since < LATE_CREATE_SECONDS
        }

    def selection(self) -> Selection:
        """What is to be selected now."""
        owners = frozenset(self._own()) | self._since.keys()
        if UNLABELLED in owners or len(owners) > MOST_OWNERS:
            return Selection(self.instance)
        return Selection(self.instance, owners)
