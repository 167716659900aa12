"""Draw the pictures of the docs from the synthetic metaphase (``make pictures``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from napari_chromocluster.imaging.compose import compose_clusters
from napari_chromocluster.imaging.crops import frame_region, resize_square
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.imaging.synthetic import procedural_chromosome, synthetic_metaphase
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.results.figures import overlay_figure, save_figure
from napari_chromocluster.taxonomy import CLUSTERS

IMAGES = Path(__file__).parent / "images"


def overlay() -> None:
    """Draw the classified synthetic metaphase."""
    image = synthetic_metaphase(seed=0).image
    labels = segment_metaphase(image)
    model = load_model()
    table = model.classify(image, labels)
    figure = overlay_figure(image, labels, table, threshold=model.card.unsure_threshold)
    save_figure(IMAGES / "overlay.png", figure, dpi=100)


def composed() -> None:
    """Draw composed clusters, one row a type."""
    rng = np.random.default_rng(0)
    singles = [procedural_chromosome(rng) for _ in range(40)]
    rows = []
    for kind in CLUSTERS:
        made = compose_clusters(singles, 8, seed=1, types=[kind])
        tiles = [resize_square(frame_region(one.signal, one.mask).signal, 96) for one in made]
        rows.append(np.hstack(tiles))
    picture = np.clip(255 - np.vstack(rows) * 110, 0, 255).astype(np.uint8)
    Image.fromarray(picture).save(IMAGES / "composed.png", optimize=True)


def main() -> None:
    """Draw all pictures."""
    IMAGES.mkdir(exist_ok=True)
    overlay()
    composed()


if __name__ == "__main__":
    main()
