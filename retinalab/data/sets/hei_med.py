"""HEI-MED: photographs with masks of exudates and of other bright things."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from retinalab.data.sets.fake import fake_mask, fake_photograph, write_csv
from retinalab.data.sets.table import Table
from retinalab.records import SetInfo

__all__ = ["HeiMed"]


class HeiMed(Table):
    """The copy of HEI-MED with a ``records.csv``.

    Source: Giancardo et al., "Exudate-based diabetic macular edema detection in fundus images using publicly
    available datasets", Medical Image Analysis 16(1), 2012. Licence: non-commercial research. No grades.
    Masks: exudates (EX); what is bright without being an exudate (drusen, cotton wool) is kept as
        ``mask_other``, none of the eight lesions. A photograph
    without a mask has none of them. Counts of this copy: 127 photographs, 41 with exudates. The patients are
    not named.
    """

    info: ClassVar[SetInfo] = SetInfo(
        name="hei_med",
        title="Hamilton Eye Institute Macular Edema Dataset",
        source="https://github.com/lgiancaUTH/HEI-MED (Giancardo et al., Medical Image Analysis 16(1), 2012)",
        licence="non-commercial research",
        lesions=("EX",),
        counts={"photographs": 127, "present_EX=1": 41},
    )

    def _info(self, name: str, scales: Mapping[str, str], lesions: tuple[str, ...]) -> SetInfo:
        return self.info

    @classmethod
    def write_fake(cls, folder: Path, photographs: int = 6, seed: int = 0) -> Path:
        rows = []
        for index in range(photographs):
            name = f"{index + 3:08d}"
            fake_photograph(folder / "images" / f"{name}.jpg", seed + index)
            row = {"image": f"images/{name}.jpg", "exudates": "", "other_bright": ""}
            for column, every in (("exudates", 2), ("other_bright", 3)):
                if index % every == 0:
                    row[column] = f"{column}/{name}.png"
                    fake_mask(folder / row[column], (40, 30 + index))
            rows.append({**row, "disc_row": 110, "disc_col": 190, "full_width": 288, "full_height": 216})
        write_csv(folder / "records.csv", rows)
        return folder
