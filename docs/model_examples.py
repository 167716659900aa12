"""Draw composed clusters that the embedded model gets right and wrong, a row a type.

Only procedural chromosomes are shown (``make pictures``)::

    python docs/model_examples.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from napari_chromocluster.cluster_types import CHROMOSOME_TYPES, TYPES
from napari_chromocluster.imaging.cluster_synthesis import ComposedCluster, compose_clusters
from napari_chromocluster.imaging.crops import render_crop, resize_square, square_crop
from napari_chromocluster.imaging.synthetic_metaphase import procedural_chromosome
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.results.figures import save_figure

RIGHT, WRONG, SEED, DRAWN = 6, 4, 11, 240


def judged() -> tuple[list[ComposedCluster], np.ndarray]:
    """Return composed regions and the model's probabilities for them."""
    rng = np.random.default_rng(SEED)
    singles = [procedural_chromosome(rng) for _ in range(46)]
    made = compose_clusters(singles, DRAWN, seed=SEED, types=CHROMOSOME_TYPES)
    model = load_model()
    usual = float(np.sqrt(np.median([one.mask.sum() for one in singles])))
    crops = [
        render_crop(square_crop(one.signal, one.mask, reference=usual), model.card.crop_spec)
        for one in made
    ]
    return made, model.predict_crops(np.stack(crops))


def draw(target: Path) -> None:
    """Draw the first right and wrong ones of each type."""
    made, chances = judged()
    said = [TYPES[column] for column in chances.argmax(axis=1)]
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    axes = figure.subplots(len(CHROMOSOME_TYPES), RIGHT + WRONG)
    for row, kind in zip(axes, CHROMOSOME_TYPES, strict=True):
        mine = [place for place, one in enumerate(made) if one.cluster_type is kind]
        right = [place for place in mine if said[place] is kind][:RIGHT]
        wrong = [place for place in mine if said[place] is not kind][:WRONG]
        for axis in row:
            axis.axis("off")
        for axis, place in [
            *zip(row[:RIGHT], right, strict=False),
            *zip(row[RIGHT:], wrong, strict=False),
        ]:
            tile = resize_square(square_crop(made[place].signal, made[place].mask).signal, 96)
            axis.imshow(-tile, cmap="gray", vmin=-2.2, vmax=0)
            share = chances[place].max()
            axis.set_title(f"{said[place].letter} {share:.0%}", color=said[place].color, size=9)
        share = len([place for place in mine if said[place] is kind]) / len(mine)
        row[0].text(-0.12, 0.5, f"{kind.display_name}\n{share:.0%} right", size=8,
                    ha="right", va="center", transform=row[0].transAxes)  # fmt: skip
    axes[0][0].annotate("right", (0, 1.32), xycoords="axes fraction", size=9)
    axes[0][RIGHT].annotate("wrong", (0, 1.32), xycoords="axes fraction", size=9)
    save_figure(target, figure, dpi=90)


if __name__ == "__main__":
    draw(Path(__file__).parent / "images" / "examples.png")
