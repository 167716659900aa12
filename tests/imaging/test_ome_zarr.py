"""OME-Zarr folders: images of NGFF 0.4 and 0.5, plain arrays, and written labels."""

import sys

import numpy as np
import pytest
import tifffile

from napari_chromocluster.imaging.files import ImageError
from napari_chromocluster.imaging.image_file import open_image, pixel_size
from napari_chromocluster.imaging.io import read_image, read_labels, write_labels

zarr = pytest.importorskip("zarr")

PIXELS = (np.arange(40 * 60).reshape(40, 60) % 251).astype(np.uint8)


def write_image(path, pixels, axes, version="0.5", names=(), scale=0.1, series=None):
    """Write two levels, as other programs do: metadata under ``ome`` since 0.5."""
    units = {"unit": "micrometer"}
    kinds = {"c": {"type": "channel"}, "t": {"type": "time"}}
    scales = [scale if axis in "yx" else 1.0 for axis in axes]
    metadata = {
        "multiscales": [
            {
                "version": version,
                "axes": [{"name": a, **kinds.get(a, {"type": "space", **units})} for a in axes],
                "datasets": [
                    {
                        "path": str(level),
                        "coordinateTransformations": [
                            {"type": "scale", "scale": [one * 2**level for one in scales]}
                        ],
                    }
                    for level in range(2)
                ],
            }
        ]
    }
    if names:
        metadata["omero"] = {"channels": [{"label": name} for name in names]}
    form = 3 if version == "0.5" else 2
    root = zarr.open_group(str(path), mode="a", zarr_format=form)
    group = root if series is None else root.create_group(series)
    group.attrs.update({"ome": metadata} if form == 3 else metadata)
    for level in range(2):
        group.create_array(str(level), data=pixels[..., :: 2**level, :: 2**level], chunks="auto")
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_full_resolution_and_the_size_of_its_pixels(tmp_path, version):
    path = write_image(tmp_path / "m.ome.zarr", PIXELS[None, None, None], "tczyx", version)
    opened = open_image(path)
    assert np.array_equal(opened.pixels, PIXELS)
    assert opened.pixel_size == pixel_size(path) == pytest.approx(0.1)
    assert opened.notes == ()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_channels_by_name_frames_and_focus(tmp_path, version):
    stack = np.zeros((2, 2, 3, 40, 60), np.uint8)  # times, channels, slices
    stack[:, 1, 1] = np.stack([PIXELS, PIXELS[::-1]])
    path = write_image(tmp_path / "m.zarr", stack, "tczyx", version, names=("FITC", "DAPI"))
    opened = open_image(path)
    assert (opened.channels, opened.channel) == (("FITC", "DAPI"), 2)
    assert np.array_equal(opened.pixels, np.stack([PIXELS, PIXELS[::-1]]))
    assert "channel 2 was read" in opened.notes[0]
    assert not read_image(path, channel="FITC").any()
    with pytest.raises(ImageError, match="no channel 'Cy5': it has 1 FITC, 2 DAPI"):
        open_image(path, "Cy5")


def test_a_picture_in_color(tmp_path):
    color = np.stack([PIXELS, PIXELS // 2, PIXELS // 3])
    path = write_image(tmp_path / "m.zarr", color, "cyx", names=("Red", "Green", "Blue"))
    assert np.array_equal(read_image(path), np.moveaxis(color, 0, -1))
    assert np.array_equal(read_image(path, channel="green"), color[1])


def test_several_series_are_frames(tmp_path):
    path = tmp_path / "m.zarr"
    for series in range(2):
        write_image(path, PIXELS + series, "yx", "0.4", series=str(series))
    zarr.open_group(str(path)).attrs["bioformats2raw.layout"] = 3
    assert np.array_equal(read_image(path), np.stack([PIXELS, PIXELS + 1]))


def test_arrays_without_metadata(tmp_path):
    zarr.save_array(str(tmp_path / "a.zarr"), PIXELS)
    assert np.array_equal(read_image(tmp_path / "a.zarr"), PIXELS)
    zarr.open_group(str(tmp_path / "b.zarr"), mode="w").create_array("data", data=PIXELS)
    assert np.array_equal(read_image(tmp_path / "b.zarr"), PIXELS)
    assert pixel_size(tmp_path / "b.zarr") is None


def test_folders_without_an_image_are_one_sentence(tmp_path, monkeypatch):
    group = zarr.open_group(str(tmp_path / "p.zarr"), mode="w")
    with pytest.raises(ImageError, match="holds no image with OME metadata"):
        open_image(tmp_path / "p.zarr")
    group.attrs["ome"] = {"plate": {}}
    with pytest.raises(ImageError, match="is a plate or a well: name the images in it"):
        open_image(tmp_path / "p.zarr")
    broken = write_image(tmp_path / "m.zarr", PIXELS, "yx")
    (broken / "0" / "zarr.json").write_text("{")
    with pytest.raises(ImageError, match=r"m\.zarr is not an image that can be read"):
        open_image(broken)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImageError, match=r"pip install 'napari-chromocluster\[zarr\]'"):
        open_image(tmp_path / "p.zarr")


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tif"])
def test_labels_with_the_size_of_pixels(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    for labels in (PIXELS.astype(np.int64) + 70_000, np.stack([PIXELS, PIXELS])):
        write_labels(path, labels, pixel_size=0.1)
        assert np.array_equal(read_labels(path), labels)
        assert open_image(path).pixel_size == pytest.approx(0.1)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_labels_are_in_the_format_of_other_programs(tmp_path):
    write_labels(tmp_path / "m.ome.zarr", PIXELS, pixel_size=0.1)
    group = zarr.open_group(str(tmp_path / "m.ome.zarr"), mode="r")
    assert group.metadata.zarr_format == 2
    (multiscale,) = group.attrs["multiscales"]
    assert [(one["name"], one["unit"]) for one in multiscale["axes"]] == [
        ("y", "micrometer"), ("x", "micrometer"),
    ]  # fmt: skip
    assert multiscale["version"] == "0.4"
    assert "image-label" in group.attrs
    assert (tmp_path / "m.ome.zarr" / "0" / "0" / "0").is_file(), "chunks are nested, as NGFF says"
    write_labels(tmp_path / "m.ome.tif", PIXELS, pixel_size=0.1)
    with tifffile.TiffFile(tmp_path / "m.ome.tif") as tiff:
        assert tiff.is_ome
        assert 'PhysicalSizeX="0.1"' in tiff.ome_metadata


def test_a_folder_that_is_not_zarr_is_not_replaced(tmp_path):
    (tmp_path / "m.ome.zarr").mkdir()
    (tmp_path / "m.ome.zarr" / "notes.txt").touch()
    with pytest.raises(ImageError, match="move it away"):
        write_labels(tmp_path / "m.ome.zarr", PIXELS)
    assert (tmp_path / "m.ome.zarr" / "notes.txt").exists()
