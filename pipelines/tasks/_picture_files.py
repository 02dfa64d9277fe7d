"""Pictures in files: arrays of a .npz, or PNG and DICOM files that a table lists.

Nothing here names a file, a patient or a label in a message, and no tag of a patient is read.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.settings import require_package
from privaudit.errors import PrivauditError

MOST_PIXELS = 4096
"""Pixels of a picture above which models take long and every pixel is one column of the records."""
MOST_BYTES = 4 << 30
"""Bytes that the arrays of a .npz may take in memory."""
LIST = "labels.csv"
PARTS = ("train", "val", "test")
_PNG = b"\x89PNG\r\n\x1a\n"
_PIXEL_TAGS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "PixelData",
)
"""All that is read of a DICOM file: nothing of the patient, the place or the time."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures and what is known of each.

    pixels: (n, height, width, channels) uint8; label, patient, site: (n,) str. patient: empty where
    nobody says whose a picture is; site: empty where there is one.
    """

    pixels: np.ndarray
    label: np.ndarray
    patient: np.ndarray
    site: np.ndarray
    source: str


def read_arrays(file: Path, allow_large: bool) -> Pictures:
    """The pictures of a .npz as MedMNIST writes it: {train,val,test}_images and _labels, joined.

    Source: Yang et al. 2023, MedMNIST v2, Scientific Data 10:41.

    Raises:
        PrivauditError: For other arrays, several labels a picture and too many pixels.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > MOST_BYTES:
                raise PrivauditError(
                    "arrays of more than 4 GiB",
                    "all pictures are held in memory",
                    "make the pictures smaller, or hand in fewer",
                )
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files if name.endswith(_ENDS)}
    except (OSError, ValueError, zipfile.BadZipFile, KeyError, EOFError):
        raise PrivauditError(
            "a .npz file that cannot be read",
            "it is damaged, or holds objects instead of numbers",
            "write it again with numpy.savez from arrays of numbers",
        ) from None
    parts = [part for part in PARTS if f"{part}_images" in found and f"{part}_labels" in found]
    if not parts or len(found) != 2 * len(parts):
        raise PrivauditError(
            "a .npz file without pairs of images and labels",
            "it holds train_images with train_labels, and the same for val and test",
            "name the arrays as MedMNIST does",
        )
    images = [found[f"{part}_images"] for part in parts]
    labels = [found[f"{part}_labels"] for part in parts]
    for x, y in zip(images, labels, strict=True):
        _check_arrays(x, y)
    if len({x.shape[1:] for x in images}) > 1:
        raise PrivauditError(
            "pictures of several shapes",
            "train, val and test are joined and split anew, so their pictures are of one shape",
            "bring all pictures to one height, width and number of channels",
        )
    x = np.concatenate(images)
    pixels = x if x.ndim == 4 else x[..., None]
    check_size(pixels.shape[1], pixels.shape[2], allow_large)
    label = np.concatenate([y.reshape(len(y)) for y in labels]).astype(str)
    nobody = np.full(len(label), "")
    return Pictures(pixels, label, nobody, nobody, "pictures (.npz)")


_ENDS = tuple(f"{part}_{kind}" for part in PARTS for kind in ("images", "labels"))


def _check_arrays(x: np.ndarray, y: np.ndarray) -> None:
    grey, colour = x.ndim == 3, x.ndim == 4 and x.shape[3] in (1, 3)
    if x.dtype != np.uint8 or not (grey or colour):
        raise PrivauditError(
            f"images of shape {x.shape} and type {x.dtype}",
            "they are (pictures, height, width) or (pictures, height, width, 3), as uint8",
            "save pixels from 0 to 255 as uint8",
        )
    if y.size != len(x) or len(y) != len(x):
        raise PrivauditError(
            f"labels of shape {y.shape} for {len(x):,} pictures",
            "every picture has one label",
            "choose one label a picture, and give each label its own file",
        )
    if y.dtype.kind not in "iub":
        raise PrivauditError(
            f"labels of type {y.dtype}",
            "they are whole numbers, one for each class, from 0",
            "save the labels as numbers",
        )


def check_size(height: int, width: int, allow_large: bool) -> None:
    """Refuse pictures of more than `MOST_PIXELS` unless somebody said yes."""
    if height * width > MOST_PIXELS and not allow_large:
        raise PrivauditError(
            f"pictures of {height} x {width} pixels",
            f"above {MOST_PIXELS:,} pixels models of pictures take long, and the attacks longer",
            "make them smaller (64 x 64), or allow it with --set task.allow_large=true",
        )
    if height < 4 or width < 4:
        raise PrivauditError(
            f"pictures of {height} x {width} pixels",
            "a convolution that halves a picture twice needs 4 x 4 at least",
            "give larger pictures",
        )


def read_folder(folder: Path, allow_large: bool, progress: Callable[[float], None]) -> Pictures:
    """PNG and DICOM files with `labels.csv`: columns file, label, patient and, if any, site.

    Raises:
        PrivauditError: For a table of other columns, files that are missing, lie elsewhere or are
            no pictures, and pictures of several shapes.
    """
    rows = _read_list(folder / LIST)
    root = folder.resolve()
    found: list[np.ndarray] = []
    wrong: dict[str, int] = {}
    for i, row in enumerate(rows):
        progress(i / len(rows))
        path = (root / row["file"]).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            wrong["are not in the folder"] = wrong.get("are not in the folder", 0) + 1
            continue
        try:
            found.append(_read_picture(path, allow_large))
        except _NoPicture as fault:
            wrong[fault.why] = wrong.get(fault.why, 0) + 1
    if wrong:
        counted = "; ".join(f"{n:,} {why}" for why, n in sorted(wrong.items()))
        raise PrivauditError(
            f"{sum(wrong.values()):,} of {len(rows):,} listed files: {counted}",
            "every file that is listed is one grey or coloured picture, as PNG or DICOM",
            f"mend these files, or leave their lines out of {LIST}",
        )
    if len({picture.shape for picture in found}) > 1:
        raise PrivauditError(
            f"pictures of {len({p.shape for p in found})} shapes",
            "a model reads pictures of one height, width and number of channels",
            "bring all pictures to one shape",
        )
    columns = {name: np.array([row[name] for row in rows]) for name in ("label", "patient", "site")}
    return Pictures(np.stack(found), **columns, source="pictures (folder)")


def _read_list(path: Path) -> Sequence[Mapping[str, str]]:
    needed = ("file", "label", "patient")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = tuple(reader.fieldnames or ())
            rows = [{k: str(v or "").strip() for k, v in row.items() if k} for row in reader]
    except FileNotFoundError:
        raise PrivauditError(
            f"a folder of pictures without {LIST}",
            "it says of each file which class it is, whose, and from where",
            f"write {LIST} with the columns file, label, patient and, for a federation, site",
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error):
        raise PrivauditError(
            f"{LIST} that cannot be read",
            "it is a table of commas in UTF-8",
            "save it again as CSV in UTF-8",
        ) from None
    lacking = [name for name in needed if name not in names]
    if lacking or len(set(names)) < len(names):
        raise PrivauditError(
            f"{LIST} without the column {', '.join(lacking)}"
            if lacking
            else f"{LIST} with a column twice",
            "its columns are file, label, patient and, for a federation, site",
            "name the columns so",
        )
    empty = sum(not row[name] for row in rows for name in needed)
    empty += sum(not row.get("site") for row in rows) if "site" in names else 0
    if not rows or empty:
        raise PrivauditError(
            f"{LIST} with {empty:,} empty cells" if rows else f"{LIST} without a line",
            "each picture has a file, a label, a patient and, where there are several, a site",
            "fill the cells in, or leave these lines out",
        )
    if len({row["file"] for row in rows}) < len(rows):
        raise PrivauditError(
            f"{LIST} with a file on several lines",
            "a picture is one record",
            "list every file once",
        )
    return [{"site": "", **row} for row in rows]


class _NoPicture(Exception):
    """A file that cannot be read as a picture, and why, without its name."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def _read_picture(path: Path, allow_large: bool) -> np.ndarray:
    """(height, width, channels) uint8."""
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        raise _NoPicture("cannot be opened") from None
    if head.startswith(_PNG):
        return _read_png(path, allow_large)
    if head[128:] == b"DICM":
        return _read_dicom(path, allow_large)
    raise _NoPicture("are neither PNG nor DICOM")


def _read_png(path: Path, allow_large: bool) -> np.ndarray:
    require_package("PIL", "it reads PNG files", "images")
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as picture:
            check_size(picture.height, picture.width, allow_large)
            if picture.mode not in ("L", "RGB"):
                raise _NoPicture("are neither 8-bit grey nor RGB")
            pixels = np.asarray(picture, dtype=np.uint8)
    except (PrivauditError, _NoPicture):
        raise
    except Exception:
        # Pillow raises errors of many kinds for damaged files, some with their names.
        raise _NoPicture("are damaged") from None
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _read_dicom(path: Path, allow_large: bool) -> np.ndarray:
    require_package("pydicom", "it reads DICOM files", "images")
    import pydicom

    try:
        data = pydicom.dcmread(path, specific_tags=list(_PIXEL_TAGS))
        if "PixelData" not in data:
            raise _NoPicture("are DICOM files without a picture")
        if int(data.get("NumberOfFrames") or 1) != 1:
            raise _NoPicture("hold several pictures")
        check_size(int(data.Rows), int(data.Columns), allow_large)
        return show_dicom(data)
    except (PrivauditError, _NoPicture):
        raise
    except Exception:
        raise _NoPicture("are damaged, or compressed in a way that cannot be read") from None


def show_dicom(data: Any) -> np.ndarray:
    """(height, width, channels) uint8 of a DICOM data set, as a viewer shows it.

    The modality's slope and intercept, then the first window, or the whole range that the stored
    bits allow where there is none: never the range of the picture itself. MONOCHROME1, whose small
    values are bright, is turned round. DICOM PS3.3, C.11.1.1 and C.11.2.1.2.
    """
    kind = str(data.PhotometricInterpretation)
    if kind == "RGB" and int(data.BitsStored) == 8:
        return np.ascontiguousarray(data.pixel_array, dtype=np.uint8)
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise _NoPicture("are neither grey nor 8-bit RGB")
    bits, signed = int(data.BitsStored), bool(int(data.PixelRepresentation))
    slope = float(data.get("RescaleSlope", 1) or 1)
    intercept = float(data.get("RescaleIntercept", 0) or 0)
    values = data.pixel_array.astype(np.float64) * slope + intercept
    centre, width = (_first(data.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None and width >= 1:
        grey = (values - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5
    else:
        ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
        low, high = np.sort(ends * slope + intercept)
        grey = (values - low) / (high - low)
    grey = np.clip(grey, 0, 1)
    if kind == "MONOCHROME1":
        grey = 1 - grey
    return np.rint(255 * grey).astype(np.uint8)[..., None]


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return float(value[0] if several else value)


__all__ = ["LIST", "MOST_PIXELS", "Pictures", "check_size", "read_arrays", "read_folder"]
