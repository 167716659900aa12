"""Sample data: synthetic metaphases offline, a real one by download."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.imaging.files import ImageError, atomic_path, write_text_atomic
from napari_chromocluster.imaging.io import read_image
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase

LayerTuple = tuple[Any, dict[str, Any], str]

#: DAPI plane of one metaphase of the ADIR M-FISH image set, in a public copy of the set, pinned to
#: a commit so that it cannot change.
ADIR_URL = (
    "https://raw.githubusercontent.com/jeanpat/MFISH/2a2e9d67c4b4a002b6eb18286496391c1903f9a9/"
    "MFISH_TIFF/A02__XY/A0201XYD.tif"
)
#: SHA-256 of its pixels as (517, 645) uint8, rather than of the file, since compression may differ.
ADIR_SHA256 = "43df014cc5c2841562670c35fb338a86834dcfb5d6b44221a7752176148890c7"
_NOTICE = Path(__file__).parent / "adir_mfish_notice.txt"
_TIMEOUT = 20.0


class SampleError(ValueError):
    """A sample that is not available."""


def synthetic_giemsa() -> list[LayerTuple]:
    """Return a synthetic Giemsa-stained metaphase."""
    return [(synthetic_metaphase(seed=0).image, {"name": "synthetic metaphase"}, "image")]


def synthetic_dapi() -> list[LayerTuple]:
    """Return a synthetic DAPI-stained metaphase."""
    made = synthetic_metaphase(seed=1, stain="dapi")
    return [(made.image, {"name": "synthetic DAPI metaphase"}, "image")]


def adir_mfish() -> list[LayerTuple]:
    """Return a real DAPI metaphase of the ADIR M-FISH image set, downloaded on first use.

    The copyright notice is included next to the file and in the layer's metadata.
    """
    from napari_chromocluster.paths import cache_dir

    pixels = fetch(cache_dir() / "samples")
    options = {
        "name": "ADIR M-FISH A0201XY DAPI",
        "metadata": {"notice": _NOTICE.read_text("utf-8")},
    }
    return [(pixels, options, "image")]


def fetch(folder: Path, url: str = ADIR_URL, sha256: str = ADIR_SHA256) -> NDArray[np.uint8]:
    """Return the pixels of the ADIR metaphase, from a folder or else by download.

    Parameters
    ----------
    folder : Path
        Stores the image and its notice.
    url, sha256 : str
        URL of the image, and the hash of its pixels.

    Raises
    ------
    SampleError
        If the connection fails or the download is not that image.
    """
    target = folder / "A0201XYD.tif"
    if not target.is_file():
        _download(url, sha256, target)
        write_text_atomic(folder / "NOTICE.txt", _NOTICE.read_text("utf-8"))
    try:
        return _checked(target, sha256)
    except SampleError:
        target.unlink(missing_ok=True)  # downloaded again next time
        raise


def _download(url: str, sha256: str, target: Path) -> None:
    import pooch

    with atomic_path(target) as temporary:
        try:
            pooch.HTTPDownloader(timeout=_TIMEOUT)(url, str(temporary), None)
        except OSError as error:
            raise SampleError(
                "The ADIR M-FISH metaphase could not be downloaded: check the connection, or use "
                "the synthetic metaphases."
            ) from error
        _checked(temporary, sha256)


def _checked(file: Path, sha256: str) -> NDArray[np.uint8]:
    try:
        pixels = read_image(file)
    except ImageError as error:
        raise SampleError(f"What came is not the ADIR M-FISH metaphase: {error}") from error
    # A gray image with a palette is read as three equal channels.
    gray = np.ascontiguousarray(pixels if pixels.ndim == 2 else pixels[..., 0])
    if hashlib.sha256(gray.tobytes()).hexdigest() != sha256:
        raise SampleError(
            "What came is not the ADIR M-FISH metaphase (wrong hash); nothing was kept."
        )
    return gray
