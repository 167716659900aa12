"""Channels, slices, fields and pixel sizes of microscope image files."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from napari_chromocluster.imaging.files import ImageError
from napari_chromocluster.imaging.image_file import open_image
from napari_chromocluster.imaging.io import read_image, read_labels
from napari_chromocluster.imaging.normalization import to_grayscale


@pytest.fixture(scope="module")
def stained(dapi):
    """A counterstain and two probes visible as spots, all uint8."""
    rng = np.random.default_rng(0)
    channels = [dapi.image.astype(np.float32)]
    where = np.argwhere(dapi.labels > 0)
    for _ in range(2):
        spots = np.zeros(dapi.image.shape, np.float32)
        spots[tuple(where[rng.choice(len(where), 30)].T)] = 1
        spots = ndimage.gaussian_filter(spots, 2)
        channels.append(8 + 200 * spots / spots.max() + rng.normal(0, 1, spots.shape))
    return np.clip(channels, 0, 255).astype(np.uint8)


def ome(images, pixels="", uuid=""):
    """Return OME-XML of images, each a list of (file name, channel) planes."""
    text = ""
    for planes in images:
        data = "".join(
            f'<TiffData FirstC="{channel}" IFD="{page}" PlaneCount="1">'
            + (f'<UUID FileName="{name}">urn:uuid:{name}</UUID>' if name else "")
            + "</TiffData>"
            for name, channel, page in planes
        )
        count = 1 + max(channel for _, channel, _ in planes)
        names = "".join(f'<Channel Name="{one}"/>' for one in ("FITC", "Hoechst", "Cy3")[:count])
        text += (
            f'<Image><Pixels DimensionOrder="XYCZT" SizeX="640" SizeY="560" SizeC="{count}" '
            f'SizeZ="1" SizeT="1" Type="uint8" {pixels}>{names}{data}</Pixels></Image>'
        )
    return f'<?xml version="1.0"?><OME xmlns="http://x" UUID="{uuid}">{text}</OME>'


def write_ome(path, planes, description):
    with tifffile.TiffWriter(path) as tiff:
        for number, plane in enumerate(planes):
            tiff.write(plane, photometric="minisblack", metadata=None, contiguous=False,
                       description=description if number == 0 else None)  # fmt: skip


def test_the_counterstain_is_found_by_its_name(tmp_path, stained):
    path = tmp_path / "named.tif"
    tifffile.imwrite(path, stained[[1, 0, 2]], imagej=True,
                     metadata={"axes": "CYX", "Labels": ["DAPI", "FITC", "Cy3"]})  # fmt: skip
    opened = open_image(path)
    assert (opened.channels, opened.channel) == (("DAPI", "FITC", "Cy3"), 1)
    np.testing.assert_array_equal(opened.pixels, stained[1])
    assert "3 channels (DAPI, FITC, Cy3): channel 1 was read" in opened.notes[0]
    np.testing.assert_array_equal(read_image(path, "cy"), stained[2])
    np.testing.assert_array_equal(read_image(path, 2), stained[0])
    assert open_image(path, "2").notes == ()
    with pytest.raises(ImageError, match="no channel 'Cy5': it has 1 DAPI, 2 FITC, 3 Cy3"):
        read_image(path, "Cy5")


@pytest.mark.parametrize("kind", ["imagej", "axes", "samples", "planar"])
def test_without_names_the_channel_with_the_most_stain_is_taken(tmp_path, stained, kind):
    path, planes = tmp_path / "x.tif", stained[[1, 0, 2]]
    if kind == "imagej":
        tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "CYX"})
    elif kind == "axes":
        tifffile.imwrite(path, planes, photometric="minisblack", metadata={"axes": "CYX"})
    elif kind == "samples":
        tifffile.imwrite(path, np.moveaxis(planes, 0, -1), photometric="minisblack",
                         planarconfig="contig", extrasamples=[0, 0])  # fmt: skip
    else:
        tifffile.imwrite(path, planes, photometric="minisblack", planarconfig="separate",
                         extrasamples=[0, 0])  # fmt: skip
    opened = open_image(path)
    assert (len(opened.channels), opened.channel) == (3, 2)
    np.testing.assert_array_equal(opened.pixels, stained[0])


def test_each_time_point_of_a_hyperstack_is_a_frame(tmp_path, stained):
    both = np.stack([stained, stained[:, ::-1]])
    tifffile.imwrite(tmp_path / "t.tif", both, imagej=True, metadata={"axes": "TCYX"})
    np.testing.assert_array_equal(read_image(tmp_path / "t.tif"), both[:, 0])


def test_of_planes_of_focus_the_sharpest_is_taken(tmp_path, dapi):
    slices = [ndimage.gaussian_filter(dapi.image, sigma) for sigma in (4, 2, 0, 2)]
    path = tmp_path / "z.tif"
    tifffile.imwrite(path, np.stack(slices), imagej=True, metadata={"axes": "ZYX"})
    opened = open_image(path)
    np.testing.assert_array_equal(opened.pixels, slices[2])
    assert opened.notes == ("z.tif: the sharpest of 4 slices, 3, was used.",)


def test_slices_that_are_metaphases_are_frames(tmp_path, dapi):
    frames = np.stack([dapi.image, dapi.image[::-1, ::-1], np.roll(dapi.image, 90, axis=0)])
    # How ImageJ writes a plain stack.
    tifffile.imwrite(tmp_path / "s.tif", frames, imagej=True, metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(read_image(tmp_path / "s.tif"), frames)


def test_of_a_set_of_files_only_the_named_one_is_read(tmp_path, stained):
    names = ["a.ome.tif", "b.ome.tif", "c.ome.tif"]
    text = ome([[(name, channel, 0) for channel, name in enumerate(names)]], uuid="urn:uuid:a")
    for name, plane in zip(names, stained, strict=True):
        write_ome(tmp_path / name, [plane], text)
    for name, plane in zip(names, stained, strict=True):
        np.testing.assert_array_equal(read_image(tmp_path / name), plane)
    (tmp_path / "c.ome.tif").unlink()
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif"), stained[0])


def test_labels_in_a_set_of_files_are_those_of_the_named_one(tmp_path):
    labels = np.zeros((2, 560, 640), np.uint8)
    labels[0, :9, :9], labels[1, 9:20, 9:20] = 1, 2
    text = ome([[("a.tif", 0, 0), ("b.tif", 1, 0)]])
    for name, one in zip("ab", labels, strict=True):
        write_ome(tmp_path / f"{name}.tif", [one], text)
    np.testing.assert_array_equal(read_labels(tmp_path / "b.tif"), labels[1])


def test_fields_of_one_size_are_frames_and_channels_have_names(tmp_path, stained):
    planes = [stained[1], stained[0], stained[2][::-1], stained[0][::-1]]
    text = ome([[("", 0, 0), ("", 1, 1)], [("", 0, 2), ("", 1, 3)]])
    write_ome(tmp_path / "f.ome.tif", planes, text)
    opened = open_image(tmp_path / "f.ome.tif")
    assert (opened.channels, opened.channel) == (("FITC", "Hoechst"), 2)
    np.testing.assert_array_equal(opened.pixels, [planes[1], planes[3]])


@pytest.mark.parametrize("name", ["two_fields.ome.tif", "channels_hyperstack.tif"])
def test_files_from_microscopes(shared_cases, name):
    opened = open_image(shared_cases / name)
    fields = name == "two_fields.ome.tif"
    assert opened.pixels.shape == ((2, 560, 640) if fields else (560, 640))
    assert (opened.channel is None) == fields


def test_of_the_pictures_of_a_telephone_the_first_is_taken(tmp_path, metaphase):
    picture = Image.fromarray(metaphase.image).convert("RGB")
    path = tmp_path / "phone.jpg"
    picture.save(path, "MPO", save_all=True, append_images=[picture.resize((160, 140))])
    opened = open_image(path)
    assert opened.pixels.shape == (*metaphase.image.shape, 3)
    assert "2 pictures: the first was read" in opened.notes[0]


@pytest.mark.parametrize("kind", ["palette.tif", "gray.tif", "photo.jpg"])
def test_a_file_that_is_to_be_shown_turned_is_read_as_it_is_and_says_so(tmp_path, kind):
    path = tmp_path / kind
    pixels = np.zeros((40, 60), np.uint8)
    pixels[:20] = 200
    if kind == "photo.jpg":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(pixels).save(path, exif=exif)
    else:
        ramp = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
        colors = {"photometric": "palette", "colormap": ramp} if kind == "palette.tif" else {}
        tifffile.imwrite(path, pixels, extratags=[(274, 3, 1, 6, True)], **colors)
    opened = open_image(path)
    assert opened.pixels.shape[:2] == (40, 60)
    assert opened.pixels[5].min() > 190
    assert "should be displayed rotated or mirrored (orientation 6)" in opened.notes[0]


MICROSCOPE = {
    "imagej": ({"imagej": True, "resolution": (10, 10), "metadata": {"unit": "um"}}, 0.1),
    "ome": ({"ome": True, "metadata": {"PhysicalSizeX": 65, "PhysicalSizeXUnit": "nm"}}, 0.065),
    "tags": ({"resolution": (100_000, 100_000), "resolutionunit": "CENTIMETER"}, 0.1),
    "screen": ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
    "none": ({}, None),
}


@pytest.mark.parametrize("kind", MICROSCOPE)
def test_the_size_of_a_pixel(tmp_path, kind):
    options, size = MICROSCOPE[kind]
    path = tmp_path / ("x.ome.tif" if kind == "ome" else "x.tif")
    tifffile.imwrite(path, np.zeros((40, 50), np.uint8), photometric="minisblack", **options)
    found = open_image(path).pixel_size
    assert found is None if size is None else found == pytest.approx(size)


@pytest.mark.parametrize("order", [(1, 2, 0), (0, 1, 2)])
def test_of_a_merge_the_counterstain_is_looked_at(stained, order):
    merge = np.moveaxis(stained[list(order)], 0, -1)
    np.testing.assert_array_equal(to_grayscale(merge), stained[0])


def test_a_colour_of_a_picture_may_be_chosen(tmp_path, stained):
    Image.fromarray(np.moveaxis(stained, 0, -1)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_image(tmp_path / "m.png", "green"), stained[1])


def test_stained_sections_stay_as_bright_as_they_look(metaphase):
    pink = np.stack([metaphase.image, metaphase.image // 2 + 90, metaphase.image], axis=-1)
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(to_grayscale(pink), pink @ weights, rtol=1e-4)


def test_labels_saved_as_floats(tmp_path):
    labels = np.array([[0, 1, 2], [np.nan, 3, 3]], np.float32)
    tifffile.imwrite(tmp_path / "l.tif", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "l.tif"), [[0, 1, 2], [0, 3, 3]])
    tifffile.imwrite(tmp_path / "l.tif", labels + 0.5)
    with pytest.raises(ImageError, match="labels are whole numbers"):
        read_labels(tmp_path / "l.tif")
