"""Which Pods a watch shows: those that some owners created, or all of the instance where no list names them.

An owner is an incarnation of a replica; each Pod bears its creator's as a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ottoscaler.model import PodView
from ottoscaler.pods.labels import selector

MOST_OWNERS = 64  # in one selector, which makes some 1.2 kB of a URL; for more, the whole instance is watched
# An owner stays selected for so long after a takeover, though no Pod of it is to be seen: the create that it
# died with may be on its way, behind a proxy or admission webhooks.
LATE_CREATE_SECONDS = 300.0
UNLABELLED = ""  # stands for the owner of Pods without the label; no list of owners selects them


@dataclass(frozen=True, slots=True)
class Selection:
    """The Pods of these owners; with ``None``, all of the instance."""

    instance: str
    owners: frozenset[str] | None = None

    @property
    def text(self) -> str:
        """The label selector."""
        return selector(self.instance, owners=self.owners or ())

    def has(self, owner: str) -> bool:
        return self.owners is None or owner in self.owners

    def shows(self, view: PodView) -> bool:
        """Whether a Pod has the labels that are selected by."""
        return view.managed and view.instance == self.instance and self.has(view.owner)

    def includes(self, other: Selection) -> bool:
        """Whether it selects all that the other does."""
        return self.owners is None or (other.owners is not None and other.owners <= self.owners)


class WantedOwners:
    """Whose Pods are to be watched: this process's own, and those of owners that it took over from. The
    watcher's lock guards it. ``own`` gives the incarnations of this process."""

    def __init__(self, instance: str, own: Callable[[], Sequence[str]]) -> None:
        self.instance = instance
        self._own = own
        self._since: dict[str, float] = {}  # owner: when it was last asked for, monotonic

    def want(self, owners: Iterable[str], now: float) -> None:
        """From now on these owners' Pods too."""
        for owner in owners:
            self._since[owner] = now

    def keep(self, with_pods: Iterable[str], now: float) -> None:
        """Forget the owners that were asked for long ago and have no Pod that is waited for."""
        needed = set(with_pods)
        self._since = {
            owner: since
            for owner, since in self._since.items()
            if owner in needed or now - since < LATE_CREATE_SECONDS
        }

    def selection(self) -> Selection:
        """What is to be selected now."""
        own = self._own()
        owners = frozenset(own) | self._since.keys()
        if not own or UNLABELLED in owners or len(owners) > MOST_OWNERS:
            return Selection(self.instance)
        return Selection(self.instance, owners)
