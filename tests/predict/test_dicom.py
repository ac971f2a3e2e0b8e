"""DICOM files give the pixels that were put into them, one clear line otherwise, and never a patient's name."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    OphthalmicPhotography8BitImageStorage,
    OphthalmicPhotography16BitImageStorage,
    OphthalmicTomographyImageStorage,
    RLELossless,
    generate_uid,
)

from retinalab.data.sets.fake import fake_image
from retinalab.errors import RetinalabError
from retinalab.predict.dicom import dicom_size, is_dicom, read_dicom
from retinalab.predict.pixels import pixels_of, size_of

NAME = "Doe^Jane"
NUMBER = "Q4711"  # which no UID, all digits and dots, can hold
IMAGE = fake_image(3, 2, (120, 160))
GREY = np.ascontiguousarray(IMAGE[..., 1])
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(
        pixels: bytes, photometric: str = "RGB", syntax: str = ExplicitVRLittleEndian, **tags: Any
    ) -> Path:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = syntax
        meta.MediaStorageSOPClassUID = tags.get("SOPClassUID", OphthalmicPhotography8BitImageStorage)
        meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset = FileDataset(None, Dataset(), file_meta=meta, preamble=b"\0" * 128)
        colour = photometric not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
        described = {
            "SOPClassUID": meta.MediaStorageSOPClassUID, "PatientName": NAME, "PatientID": NUMBER, "Modality": "OP",
            "Rows": 120, "Columns": 160, "SamplesPerPixel": 3 if colour else 1, "BitsAllocated": 8,
            "PhotometricInterpretation": photometric, "PixelRepresentation": 0, "PixelData": pixels,
        }  # fmt: skip
        if colour:
            described["PlanarConfiguration"] = 0
        for tag, value in (described | tags).items():
            setattr(dataset, tag, value)
        dataset.BitsStored = tags.get("BitsStored", dataset.BitsAllocated)
        dataset.HighBit = dataset.BitsStored - 1
        dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
        path = tmp_path / f"{generate_uid()}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        return path

    return made


def jpeg(image: np.ndarray, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return bytes(encapsulate([buffer.getvalue()]))


def refused(path: Path) -> str:
    with pytest.raises(RetinalabError) as error:
        pixels_of(path)
    said = str(error.value)
    assert "\n" not in said
    assert "Doe" not in said
    assert NUMBER not in said
    assert path.name in said
    return said


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian],
)
def test_uncompressed_colours(write: Write, syntax: str) -> None:
    path = write(IMAGE.tobytes(), syntax=syntax)
    assert is_dicom(path)
    np.testing.assert_array_equal(pixels_of(path), IMAGE)
    assert size_of(path) == dicom_size(path) == (120, 160)
    planes = np.ascontiguousarray(IMAGE.transpose(2, 0, 1)).tobytes()
    np.testing.assert_array_equal(pixels_of(write(planes, PlanarConfiguration=1)), IMAGE)


def test_luminance_and_colour_differences(write: Write) -> None:
    ycc = np.asarray(Image.fromarray(IMAGE).convert("YCbCr"))
    found = pixels_of(write(ycc.tobytes(), "YBR_FULL")).astype(int)
    assert np.abs(found - IMAGE).max() <= 3


def test_grey_of_8_and_16_bit(write: Write) -> None:
    three = np.repeat(GREY[..., None], 3, axis=2)
    np.testing.assert_array_equal(pixels_of(write(GREY.tobytes(), "MONOCHROME2")), three)
    np.testing.assert_array_equal(pixels_of(write((255 - GREY).tobytes(), "MONOCHROME1")), three)
    wide = {"BitsAllocated": 16, "SOPClassUID": OphthalmicPhotography16BitImageStorage}
    sixteen = (GREY.astype(np.uint16) * 257).tobytes()
    np.testing.assert_array_equal(pixels_of(write(sixteen, "MONOCHROME2", **wide)), three)
    twelve = np.rint(GREY / 255 * 4095).astype(np.uint16).tobytes()
    np.testing.assert_array_equal(pixels_of(write(twelve, "MONOCHROME2", **wide, BitsStored=12)), three)


def test_jpeg_is_decoded_as_any_jpeg_file(write: Write) -> None:
    data = jpeg(IMAGE, quality=95)
    path = write(data, "YBR_FULL_422", JPEGBaseline8Bit)
    assert np.abs(pixels_of(path).astype(int) - IMAGE).mean() < 3
    large = np.asarray(Image.fromarray(IMAGE).resize((1600, 1200)))
    path = write(jpeg(large, quality=95), "YBR_FULL_422", JPEGBaseline8Bit, Rows=1200, Columns=1600)
    assert read_dicom(path, 75).shape == (150, 200, 3)
    assert size_of(path) == (1200, 1600)
    path = write(jpeg(255 - GREY, quality=100), "MONOCHROME1", JPEGBaseline8Bit)
    assert np.abs(pixels_of(path)[..., 0].astype(int) - GREY).mean() < 1


def test_jpeg_2000_and_run_lengths_lose_nothing(write: Write) -> None:
    path = write(jpeg(IMAGE, "JPEG2000", irreversible=False, mct=1), "YBR_RCT", JPEG2000Lossless)
    np.testing.assert_array_equal(pixels_of(path), IMAGE)
    from pydicom.pixels.encoders import RLELosslessEncoder

    coded = RLELosslessEncoder.encode(
        IMAGE, rows=120, columns=160, samples_per_pixel=3, bits_allocated=8, bits_stored=8, number_of_frames=1,
        pixel_representation=0, planar_configuration=0, photometric_interpretation="RGB",
    )  # fmt: skip
    np.testing.assert_array_equal(pixels_of(write(encapsulate([coded]), syntax=RLELossless)), IMAGE)
    for smaller in ({"Columns": 80}, {"Rows": 60}):
        said = refused(write(encapsulate([coded]), syntax=RLELossless, **smaller))
        assert "19200 bytes in a segment of its pixels, 9600 are needed" in said


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "tomography": ({"SOPClassUID": OphthalmicTomographyImageStorage}, "Ophthalmic Tomography Image Storage, not a"),
    "frames": ({"NumberOfFrames": "5"}, "holds 5 frames"),
    "palette": ({"photometric": "PALETTE COLOR"}, "PALETTE COLOR pixels"),
    "lossless JPEG": ({"pixels": encapsulate([b"none"]), "syntax": JPEGLosslessSV1}, "compressed with JPEG Lossless"),
    "signed": ({"PixelRepresentation": 1}, "signed pixels of 8 bit"),
    "32 bit": ({"BitsAllocated": 32, "photometric": "MONOCHROME2"}, "pixels of 32 bit"),
    "huge": ({"Rows": 50_000, "Columns": 50_000}, "million pixels"),
    "tiny": ({"Rows": 8, "Columns": 8}, "at least 32"),
    "short": ({"pixels": IMAGE.tobytes()[:-200]}, "57400 bytes of pixels, 57600 are needed"),
    "long": ({"pixels": IMAGE.tobytes() * 2}, "115200 bytes of pixels"),
    "cut JPEG": ({"pixels": "cut", "syntax": JPEGBaseline8Bit, "photometric": "YBR_FULL_422"}, "truncated or damaged"),
    "no JPEG": ({"pixels": encapsulate([b"text text "]), "syntax": JPEGBaseline8Bit, "photometric": "YBR_FULL_422"},
                "is text, not an image"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_read_is_one_line(write: Write, fault: str) -> None:
    given, said = FAULTS[fault]
    pixels = given.get("pixels", IMAGE.tobytes())
    if pixels == "cut":
        buffer = io.BytesIO()
        Image.fromarray(IMAGE).save(buffer, "JPEG")
        pixels = encapsulate([buffer.getvalue()[:1500]])
    assert said in refused(write(pixels, **{k: v for k, v in given.items() if k != "pixels"}))


@pytest.mark.parametrize("length", [132, 140, 300, 700, 2000, 30_000])
def test_a_file_that_was_cut_off(write: Write, length: int) -> None:
    path = write(IMAGE.tobytes())
    path.write_bytes(path.read_bytes()[:length])
    assert is_dicom(path)
    assert "truncated or damaged" in refused(path)


def test_an_element_of_an_odd_length(write: Write) -> None:
    """Which pydicom raises an error of its own kind for."""
    path = write(IMAGE.tobytes())
    data = bytearray(path.read_bytes())
    place = data.index(b"\x28\x00\x10\x00US") + 6
    data[place : place + 2] = b"\x03\x00"
    path.write_bytes(data)
    assert "truncated or damaged" in refused(path)


def test_flipped_bits_crash_nothing(write: Write) -> None:
    path = write(jpeg(IMAGE), "YBR_FULL_422", JPEGBaseline8Bit)
    data, generator = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        flipped = bytearray(data)
        for place in generator.integers(132, min(len(data), 900), 3):
            flipped[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(flipped)
        said = ""
        try:
            image = pixels_of(path)
        except RetinalabError as error:
            said = str(error)
        assert said or (image.dtype == np.uint8 and image.shape[2] == 3)
        assert "\n" not in said
        assert "Doe" not in said
