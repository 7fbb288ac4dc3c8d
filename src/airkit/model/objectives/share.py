"""Which rows of a batch are one process's, where several share it."""

from __future__ import annotations

from dataclasses import dataclass

from airkit.model.guides import Noise


@dataclass(frozen=True)
class Share:
    """Part ``index`` of ``count`` parts, as equal as can be; by default the whole."""

    index: int = 0
    count: int = 1

    def rows(self, total: int) -> slice:
        """Its rows of ``total``; every row is in exactly one part."""
        return slice(total * self.index // self.count, total * (self.index + 1) // self.count)

    def noise(self, noise: Noise, total: int) -> Noise:
        """Its rows of the random numbers of ``total`` rows.

        All are drawn and most are thrown away, so that a row's do not depend on the count.
        """
        rows = self.rows(total)
        return Noise(*(None if part is None else part[rows] for part in noise))


WHOLE = Share()
