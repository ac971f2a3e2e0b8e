"""What an ensemble asks of each of its members, a network of a run or an exported file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from retinalab.protocol import Scale

if TYPE_CHECKING:  # runs and files are opened without torch
    from retinalab.explain.framing import Framing
    from retinalab.predict.prepare import Working

__all__ = ["Given", "Maker", "Seen", "Voice"]


@dataclass(frozen=True)
class Given:
    """What one pass of a network gives of a batch.

    Attributes:
        answers: disease -> ``(B, K)`` float32 probabilities, or ``(B, 1)`` severity.
        present: ``(B, 8)`` float32 probabilities of lesions, the maps' maxima where the network gives no others; None
            where it knows no lesions.
        lesions: ``(B, 8, H, W)`` float32 lesion maps; None where it gives none or none were asked for.
    """

    answers: dict[str, np.ndarray]
    present: np.ndarray | None
    lesions: np.ndarray | None


@dataclass(frozen=True)
class Seen:
    """What of a working image a network's maps cover.

    Attributes:
        size: side of the working image.
        side: of the maps, in pixels of the input.
        view: ``whole`` or ``centre``.
    """

    size: int
    side: int
    view: str

    def framing(self, works: Mapping[int, Working]) -> Framing:
        """How the maps lie in a photograph."""
        from retinalab.explain.framing import Framing

        return Framing(works[self.size].fov, self.size, self.side, self.view)


class Maker(Protocol):
    """Prepares working images of one size for networks."""

    @property
    def size(self) -> int: ...

    def make(self, pixels: np.ndarray) -> Any: ...


class Voice(Protocol):
    """A member of an ensemble; attributes as of :class:`retinalab.predict.network.Network`."""

    @property
    def batches(self) -> Maker: ...
    @property
    def scales(self) -> Mapping[str, Scale]: ...
    @property
    def regressed(self) -> frozenset[str]: ...
    @property
    def lesions(self) -> tuple[str, ...]: ...
    @property
    def maps_lesions(self) -> bool: ...
    @property
    def seen(self) -> Seen: ...
    @property
    def at_once(self) -> int: ...

    def given(self, batch: Any, lesion_maps: bool = False) -> Given: ...

    def check_maps(self) -> None: ...

    def maps(self, batch: Any, disease: str, grades: np.ndarray) -> np.ndarray: ...
