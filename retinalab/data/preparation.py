"""How photographs are prepared for a network: the side, the lesion masks, the codec, and where the result is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retinalab.config import DataConfig
from retinalab.data.codec import Codec
from retinalab.data.home import default_cache
from retinalab.data.space import Needed, lossless_codec

__all__ = ["Preparation"]


@dataclass(frozen=True)
class Preparation:
    """What is done to every photograph of a data set before training.

    Attributes:
        size: side of the working image, pixels.
        masks: whether lesion masks are wanted too.
        coverage: share of a working pixel that a mask must cover, in (0, 1].
        folder: parent of all caches; None: :func:`~retinalab.data.home.default_cache`.
        codec: that photographs are written in; auto: found in any that loses nothing, else written as
            :func:`~retinalab.data.space.lossless_codec` says.
    """

    size: int
    masks: bool = False
    coverage: float = 0.25
    folder: Path | None = None
    codec: Codec | Literal["auto"] = "auto"

    @classmethod
    def of(cls, data: DataConfig) -> Preparation:
        """As a data section asks for it; windows about lesions are found in the masks, asked for or not."""
        masks = data.masks or (data.windows is not None and data.windows.kind == "lesions")
        return cls(data.size, masks, data.mask_coverage, data.cache, data.codec)

    @property
    def parent(self) -> Path:
        """Of all caches."""
        return self.folder or default_cache()

    def needed(self, photographs: int) -> Needed:
        """What so many photographs take."""
        return Needed(photographs, self.size, self.masks)

    def written(self, photographs: int) -> Codec:
        """The codec that so many photographs would be written in now."""
        return lossless_codec(self.needed(photographs), self.parent) if self.codec == "auto" else self.codec
