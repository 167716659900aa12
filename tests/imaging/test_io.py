import contextlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_chromocluster.imaging.files import ImageError, atomic_path, check_writable
from napari_chromocluster.imaging.io import (
    is_stack,
    provenance_tag_of,
    read_image,
    read_labels,
    write_labels,
)

GRADIENT = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) % 4096


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_common_formats(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    Image.fromarray((GRADIENT // 16).astype(np.uint8)).save(path)
    assert read_image(path).shape == (48, 64)


def test_twelve_bit_tiled_and_compressed_tiff(tmp_path):
    path = tmp_path / "tiled.tif"
    tifffile.imwrite(path, GRADIENT, tile=(16, 16), compression="zlib")
    assert np.array_equal(read_image(path), GRADIENT)
    tifffile.imwrite(path, GRADIENT, compression="lzw")
    assert np.array_equal(read_image(path), GRADIENT)


def test_palette_tiff_becomes_colour(tmp_path):
    path = tmp_path / "palette.tif"
    Image.fromarray((GRADIENT // 16).astype(np.uint8)).convert("P").save(path)
    assert read_image(path).shape == (48, 64, 3)


def test_pages_are_frames(tmp_path):
    path = tmp_path / "pages.tif"
    tifffile.imwrite(path, np.stack([GRADIENT] * 3), photometric="minisblack")
    assert read_image(path).shape == (3, 48, 64)


def test_white_is_zero_is_turned_round(tmp_path):
    path = tmp_path / "white.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), photometric="miniswhite")
    assert read_image(path).min() == 255


@pytest.mark.parametrize("name", ["text.tif", "text.png", "text.jpg"])
def test_a_file_that_is_no_image(tmp_path, name):
    path = tmp_path / name
    path.write_text("this is no image")
    with pytest.raises(ImageError, match="not an image"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_file_that_is_cut_short(tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    Image.fromarray(noise).save(whole)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ImageError, match=r"cut short|TIFF"):
        read_image(cut)


def test_missing_file(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / "none.png")


@pytest.mark.parametrize(("suffix", "top"), [(".tif", 70000), (".png", 900)])
def test_labels_round_trip(tmp_path, suffix, top):
    labels = np.zeros((20, 20), np.int64)
    labels[3:6, 3:6] = top
    write_labels(tmp_path / f"labels{suffix}", labels)
    assert np.array_equal(read_labels(tmp_path / f"labels{suffix}"), labels)


def test_a_picture_is_no_label_image(tmp_path):
    path = tmp_path / "colour.png"
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(path)
    with pytest.raises(ImageError, match="not a label image"):
        read_labels(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["a.txt"]


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="choose another folder"):
        write_labels(tmp_path / "file" / "labels.tif", np.ones((3, 3), int))


def spoilt(content: bytes, rng: np.random.Generator):
    """Yield a file truncated at many places, and with changed bytes in its header and pixels."""
    for share in (0.01, 0.2, 0.5, 0.8, 0.95):
        yield content[: int(len(content) * share)]
    for _ in range(20):
        changed = bytearray(content)
        for place in rng.integers(0, min(400, len(content)), 6):
            changed[place] ^= 0xA5
        yield bytes(changed)


@pytest.mark.parametrize("options", [
    {}, {"compression": "zlib"}, {"compression": "lzw"}, {"compression": "jpeg"},
    {"tile": (16, 16), "compression": "zlib", "predictor": True}, {"bigtiff": True},
])  # fmt: skip
def test_spoilt_tiffs_give_a_sentence_or_an_image(tmp_path, rng, options):
    path = tmp_path / "whole.tif"
    tifffile.imwrite(path, rng.integers(0, 255, (48, 64), dtype=np.uint8), **options)
    for content in spoilt(path.read_bytes(), rng):
        (tmp_path / "spoilt.tif").write_bytes(content)
        for read in (read_image, read_labels):
            # Anything but an ImageError fails the test.
            with contextlib.suppress(ImageError):
                assert read(tmp_path / "spoilt.tif").ndim >= 2


@pytest.mark.parametrize("compression", [None, "lzw", "jpeg", "zlib"])
def test_no_codec_makes_up_what_is_cut_off(tmp_path, rng, compression):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(
        path, rng.integers(0, 255, (200, 300), dtype=np.uint8), compression=compression
    )
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ImageError, match="cut short"):
        read_image(path)


def test_check_writable_leaves_nothing(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="choose another folder"):
        check_writable(tmp_path / "file")


@pytest.mark.parametrize(
    ("shape", "stack"),
    [((4, 5), False), ((4, 5, 3), False), ((4, 5, 4), False), ((2, 4, 5), True), ((2, 4, 5, 3), 1)],
)
def test_what_a_stack_is(shape, stack):
    assert is_stack(np.zeros(shape)) == stack


def test_pictures_of_different_sizes_in_one_file_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "two.tif") as tiff:
        tiff.write(np.zeros((40, 50), np.uint8), photometric="minisblack")
        tiff.write(np.zeros((60, 50), np.uint8), photometric="minisblack")
    with pytest.raises(ImageError, match="different sizes: save each"):
        read_image(tmp_path / "two.tif")
    with tifffile.TiffWriter(tmp_path / "thumbnail.tif") as tiff:
        tiff.write(np.zeros((40, 50), np.uint8), photometric="minisblack")
        tiff.write(np.zeros((8, 10), np.uint8), photometric="minisblack")
    assert read_image(tmp_path / "thumbnail.tif").shape == (40, 50)


def test_gray_with_alpha_is_gray(tmp_path, rng):
    gray = rng.integers(0, 255, (30, 40)).astype(np.uint8)
    both = np.stack([gray, np.full_like(gray, 255)], axis=-1)
    tifffile.imwrite(
        tmp_path / "la.tif", both, photometric="minisblack", extrasamples=["unassalpha"]
    )
    assert np.array_equal(read_image(tmp_path / "la.tif"), gray)


@pytest.mark.parametrize(
    "name", ["rgba.png", "la.png", "pa.png", "trns.png", "gray_trns.png", "la.tif", "rgba.tif"]
)
def test_what_is_transparent_stays_so(tmp_path, rng, name):
    gray = rng.integers(1, 255, (30, 40)).astype(np.uint8)
    alpha = np.full_like(gray, 255)
    alpha[:10] = 0
    path = tmp_path / name
    picture = Image.fromarray(np.stack([gray, alpha], axis=-1), "LA")
    if name == "la.tif":
        tifffile.imwrite(path, np.asarray(picture), photometric="minisblack",
                         extrasamples=["unassalpha"])  # fmt: skip
    elif name.startswith("rgba"):
        picture.convert("RGBA").save(path)
    elif name == "pa.png":
        picture.convert("RGBA").quantize(64).save(path)
    elif name.endswith("trns.png"):
        gray[:10] = 0
        mode, hidden = ("L", 0) if name == "gray_trns.png" else ("RGB", (0, 0, 0))
        Image.fromarray(gray).convert(mode).save(path, transparency=hidden)
    else:
        picture.save(path)
    pixels = read_image(path)
    assert pixels.shape == (30, 40, 4)
    assert np.array_equal(pixels[..., 3] == 0, alpha == 0)


def test_labels_below_zero_are_background(tmp_path):
    labels = np.array([[-1, 0, 2], [3, -7, 0]], np.int32)
    write_labels(tmp_path / "l.tif", labels)
    assert np.array_equal(read_labels(tmp_path / "l.tif"), [[0, 0, 2], [3, 0, 0]])


def test_the_seal_of_labels_is_gone_once_somebody_changed_them(tmp_path):
    labels = np.arange(12).reshape(3, 4)
    file = tmp_path / "l.tif"
    write_labels(file, labels, seal="found")
    assert provenance_tag_of(file) == "found"
    assert np.array_equal(read_labels(file), labels)
    with tifffile.TiffFile(file) as tiff:
        software = tiff.pages.first.software
    tifffile.imwrite(file, labels[::-1].astype(np.uint16), software=software)
    assert provenance_tag_of(file) is None
    write_labels(file, labels)
    assert provenance_tag_of(file) is None


def test_a_last_axis_of_one_is_no_stack(tmp_path):
    gray = np.arange(1200, dtype=np.uint16).reshape(30, 40)
    tifffile.imwrite(tmp_path / "one.tif", gray[..., None])
    np.testing.assert_array_equal(read_image(tmp_path / "one.tif"), gray)
    np.testing.assert_array_equal(read_labels(tmp_path / "one.tif"), gray)


def test_labels_with_transparency(tmp_path):
    gray = (np.arange(1200) % 7).astype(np.uint8).reshape(30, 40)
    Image.fromarray(np.stack([gray, np.full_like(gray, 255)], axis=-1), "LA").save(
        tmp_path / "la.png"
    )
    np.testing.assert_array_equal(read_labels(tmp_path / "la.png"), gray)


@pytest.mark.parametrize("frames", [3, 4])
def test_a_few_frames_of_labels_are_no_colours(tmp_path, frames):
    labels = np.arange(frames * 1200, dtype=np.int32).reshape(frames, 30, 40)
    write_labels(tmp_path / "few.tif", labels)
    with tifffile.TiffFile(tmp_path / "few.tif") as tiff:
        assert len(tiff.pages) == frames
        assert tiff.pages.first.photometric == tifffile.PHOTOMETRIC.MINISBLACK
    np.testing.assert_array_equal(read_labels(tmp_path / "few.tif"), labels)
