"""On a clean set nothing is found; of faults planted by hand all are found and nothing else."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from retinalab.data.check import Check, check_set
from retinalab.data.sets import open_set

LESIONS = ("MA", "HE", "EX", "SE", "VH", "PH", "NV", "FP")


def checked(folder: Path, quick: bool = False) -> Check:
    return check_set(open_set("table", folder), quick=quick)


def read(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "records.csv", dtype=str, keep_default_na=False)


def test_nothing_is_found_in_a_clean_set(clean_set: Path) -> None:
    check = checked(clean_set)
    assert check.findings == []
    assert check.faults == 0
    assert (check.photographs, check.patients) == (200, 50)
    assert check.facts["patients with both eyes"] == 50
    assert check.facts["patients with several views of an eye"] == 50
    assert check.facts["file types"] == "PNG 200"
    images = [cv2.imread(str(path)) for path in clean_set.glob("*.png")]
    assert check.facts["median width, pixels"] == np.median([i.shape[1] for i in images if i is not None])
    grades = read(clean_set)[["dr", "dme"]].astype(int)
    found = {(row["dr"], row["dme"]): row["photographs"] for row in check.cross if row["photographs"]}
    assert found == Counter(grades.itertuples(index=False, name=None))


def test_planted_faults_are_found_and_nothing_else(drawn: Path) -> None:
    planted = sorted(Planter(drawn).plant())
    found = checked(drawn).findings
    assert len(planted) == 13
    assert len({kind for kind, _ in planted}) == 9
    assert sorted((finding.kind, finding.images) for finding in found) == planted


class Planter:
    """Spoils a drawn set, each fault in the photographs of another patient."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = read(folder)
        self.patients = iter(sorted(self.table["patient"].unique())[5:])

    def plant(self) -> list[tuple[str, tuple[str, ...]]]:
        planted = [
            ("unreadable", self.truncated()),
            ("unreadable", self.web_page()),
            *(("damaged", self.zeroed(start)) for start in (0.4, 0.6)),
            ("empty-field", self.lens_cap()),
            ("duplicate", self.copied()),
            ("near-duplicate", self.saved_again(scale=0.75, quality=85, gain=1.0)),
            ("near-duplicate", self.saved_again(scale=1.5, quality=92, gain=0.85)),
            ("patient-split", self.on_both_sides()),
            ("mask-size", self.halved_mask()),
            ("mask-empty", self.blank_mask()),
            *(("mask-outside", self.mask_in_the_corner()) for _ in range(2)),
        ]
        self.table.to_csv(self.folder / "records.csv", index=False)
        return planted

    def truncated(self) -> tuple[str, ...]:
        path = self.folder / (image := self.some_photograph())
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return (image,)

    def web_page(self) -> tuple[str, ...]:
        (self.folder / (image := self.some_photograph())).write_text("<!DOCTYPE html><p>Please log in</p>")
        return (image,)

    def zeroed(self, start: float) -> tuple[str, ...]:
        """A JPEG with a hole in the middle of its scan, which the most used decoder shows without a word."""
        row = self.some_row()
        pixels = Image.open(self.folder / str(self.table.at[row, "image"])).resize((480, 440))
        buffer = io.BytesIO()
        pixels.save(buffer, "JPEG", quality=95)
        data = bytearray(buffer.getvalue())
        hole = int(start * len(data))
        data[hole : hole + 600] = bytes(600)
        Image.open(io.BytesIO(bytes(data))).load()
        image = f"damaged-{row}.jpg"
        (self.folder / image).write_bytes(bytes(data))
        self.table.at[row, "image"] = image
        for lesion in LESIONS:  # the masks were drawn on a photograph of another size
            self.table.at[row, f"mask_{lesion}"] = ""
        return (image,)

    def lens_cap(self) -> tuple[str, ...]:
        path = self.folder / (image := self.some_photograph())
        shape = np.asarray(Image.open(path)).shape
        noise = np.random.default_rng(1).integers(0, 4, shape, dtype=np.uint8)
        Image.fromarray(noise).save(path)
        return (image,)

    def copied(self) -> tuple[str, ...]:
        one, other = self.views()
        (self.folder / other).write_bytes((self.folder / one).read_bytes())
        return one, other

    def saved_again(self, scale: float, quality: int, gain: float) -> tuple[str, ...]:
        one, other = self.views()
        image = cv2.imread(str(self.folder / one))
        assert image is not None
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        dimmed = np.clip(small * gain, 0, 255).astype(np.uint8)
        data = cv2.imencode(".jpg", dimmed, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        (self.folder / other).write_bytes(data.tobytes())
        for lesion in LESIONS:
            self.table.loc[self.table["image"] == other, f"mask_{lesion}"] = ""
        return one, other

    def on_both_sides(self) -> tuple[str, ...]:
        rows = self.table.index[self.table["patient"] == next(self.patients)]
        self.table.loc[rows, "part"] = ["train", "test", "train", "train"]
        return tuple(self.table.loc[rows, "image"])

    def halved_mask(self) -> tuple[str, ...]:
        image, path = next(self.masks())
        mask = Image.open(path)
        mask.resize((mask.width // 2, mask.height // 2)).save(path)
        return (image,)

    def blank_mask(self) -> tuple[str, ...]:
        image, path = next(self.masks())
        Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
        return (image,)

    def mask_in_the_corner(self) -> tuple[str, ...]:
        for image, path in self.masks():
            if np.asarray(Image.open(self.folder / image))[:6, :6].max() < 12:
                mask = np.zeros_like(np.asarray(Image.open(path)))
                mask[:5, :5] = 255
                Image.fromarray(mask).save(path)
                return (image,)
        raise AssertionError("no photograph with a black corner")

    def masks(self) -> Iterator[tuple[str, Path]]:
        """One photograph and one of its masks of each further patient that has any."""
        for patient in self.patients:
            for _, row in self.table[self.table["patient"] == patient].iterrows():
                paths = [row[f"mask_{lesion}"] for lesion in LESIONS if row[f"mask_{lesion}"]]
                if paths:
                    yield row["image"], self.folder / paths[0]
                    break

    def some_row(self) -> int:
        return int(self.table.index[self.table["patient"] == next(self.patients)][0])

    def some_photograph(self) -> str:
        return str(self.table.at[self.some_row(), "image"])

    def views(self) -> tuple[str, str]:
        """Two views of one eye, of equal grades."""
        for patient in self.patients:
            mine = self.table[self.table["patient"] == patient]
            for _, eye in mine.groupby("eye"):
                if eye["dr"].nunique() == eye["dme"].nunique() == 1:
                    return str(eye["image"].iloc[0]), str(eye["image"].iloc[1])
        raise AssertionError("no eye with two views of equal grades")


def test_quick_opens_no_file(drawn: Path) -> None:
    Planter(drawn).plant()
    (drawn / "000100.png").unlink()
    for path in drawn.glob("*.png"):
        path.write_bytes(b"")
    check = checked(drawn, quick=True)
    assert Counter(finding.kind for finding in check.findings) == {"missing": 1, "patient-split": 1}
    assert any("--quick" in line for line in check.skipped)
    assert check.lesion_pixels == []


def test_all_missing_files_are_listed(drawn: Path) -> None:
    table = read(drawn)
    gone = ["000010.png", "000011.png", "000150.png"]
    row = next(row for row in table.index if table.at[row, "mask_HE"] and table.at[row, "image"] not in gone)
    for image in gone:
        (drawn / image).unlink()
    (drawn / table.at[row, "mask_HE"]).unlink()
    found = [finding for finding in checked(drawn, quick=True).findings if finding.kind == "missing"]
    assert [finding.images for finding in found] == [*((image,) for image in gone), (table.at[row, "image"],)]
    assert table.at[row, "mask_HE"] in found[-1].message
