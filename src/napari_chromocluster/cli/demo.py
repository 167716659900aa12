"""``chromocluster demo``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_chromocluster.cli.classify import summary_of
from napari_chromocluster.cli.options import (
    Device,
    Json,
    Model,
    Output,
    check_model,
    check_output,
    print_classified,
    print_json,
    print_notes,
)

_OPEN = """
import sys, napari, napari_chromocluster.viewer
viewer = napari.Viewer()
napari_chromocluster.viewer.open_result(viewer, *sys.argv[1:])
napari.run()
"""


def demo(
    image: Annotated[
        Path | None, typer.Argument(help="A metaphase (default: a synthetic one).")
    ] = None,
    output: Output = Path("demo_output"),
    model: Model = "default",
    device: Device = "auto",
    show: Annotated[bool, typer.Option(help="Open napari where there is a display.")] = True,
    as_json: Json = False,
) -> None:
    """Classify a metaphase and show the result: the whole way in one command."""
    from napari_chromocluster.batch.files import check_image

    if image is not None:
        check_image(image)
    check_model(model)
    check_output(output)
    from napari_chromocluster.batch import classify_to_files, read_frame
    from napari_chromocluster.imaging.files import image_stem
    from napari_chromocluster.models.classifier import load_model

    if image is None:
        image = _write_synthetic(output / "synthetic_metaphase.png")
    opened = read_frame(image)
    print_notes(opened.notes)
    classifier = load_model(model, device)
    done = classify_to_files(
        opened.pixels, image_stem(image), output, classifier, pixel_size=opened.pixel_size
    )
    result = summary_of(done, classifier)
    if as_json:
        print_json(result)
    else:
        print_classified(result)
    if show and _can_show():
        _open_in_napari(image, result)


def _write_synthetic(path: Path) -> Path:
    from PIL import Image as Picture

    from napari_chromocluster.imaging.files import atomic_path
    from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase

    with atomic_path(path) as temporary:
        Picture.fromarray(synthetic_metaphase(seed=0).image).save(temporary)
    return path


def _can_show() -> bool:
    """Return whether napari is installed and a display is available."""
    import importlib.util
    import os

    if importlib.util.find_spec("napari") is None:
        return False
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def _open_in_napari(image: Path, result: dict[str, Any]) -> None:
    """Open napari in a separate process, so that a failing display does not crash this one."""
    import subprocess

    print("Opening napari…", file=sys.stderr, flush=True)
    command = [sys.executable, "-c", _OPEN, str(image), result["labels"], result["regions"]]
    if subprocess.run(command, check=False).returncode != 0:
        print("napari could not be opened here; the files above hold the result.", file=sys.stderr)
