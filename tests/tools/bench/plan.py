"""How much of each measurement to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run; on two cores with a real API server some 15 minutes."""

    samples: int = 100
    repeats: int = 3
    starts: int = 7
    bursts: tuple[int, ...] = (100, 500, 1000)
    creates: int = 5000  # for what the server itself carries
    parked_seconds: float = 15.0  # how long an idle process with parked workers is looked at
    peers: bool = True


QUICK = Plan(
    samples=25, repeats=1, starts=3, bursts=(100, 1000), creates=2000, parked_seconds=8.0, peers=False
)
