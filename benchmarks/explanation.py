"""Does the explanation point at the crossing?  Two chromosomes that cross at a known place.

Of the crosses that the model calls a cluster with an overlap, it prints for
each way to explain that: how often the hottest place lies in the crossing
(widened by a 28th of the side), and which share of the heat lies there, beside the
share of the area that the crossing has.  Occlusion (flattening a window of the
crop and asking again) needs no gradients and serves as the reference::

    python benchmarks/explanation.py [--model default] [--crosses 60]
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from captum.attr import LayerGradCam
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.chromosome_synthesis import transform_chromosome
from napari_chromocluster.imaging.crops import RegionCrop, resize_square, square_crop
from napari_chromocluster.imaging.synthetic_metaphase import procedural_chromosome
from napari_chromocluster.models.class_activation import class_activation_maps
from napari_chromocluster.models.classifier import ClusterClassifier, load_model

Float = NDArray[np.float32]
SIDE = 200
KIND = "overlapping"


def cross(rng: np.random.Generator) -> tuple[RegionCrop, NDArray[np.bool_]] | None:
    """Lay two chromosomes over each other; also return the crossing in the frame of the crop."""
    signal = np.zeros((SIDE, SIDE), np.float32)
    masks = []
    for turn in (0.0, math.pi / 2):
        made = transform_chromosome(
            procedural_chromosome(rng), turn + 0.3 * rng.standard_normal(), 1.0, 0.2
        )
        height, width = made.mask.shape
        y, x = (SIDE - height) // 2, (SIDE - width) // 2
        if turn:
            y, x = y + int(rng.integers(-14, 15)), x + int(rng.integers(-14, 15))
        mask = np.zeros((SIDE, SIDE), bool)
        mask[y : y + height, x : x + width] = made.mask
        signal[y : y + height, x : x + width] += np.where(made.mask, made.signal, 0)
        masks.append(mask)
    shared, whole = masks[0] & masks[1], masks[0] | masks[1]
    if shared.sum() < 30:
        return None
    place = square_crop(shared.astype(np.float32), whole).signal > 0
    return square_crop(signal, whole), place


def plain_grad_cam(classifier: ClusterClassifier, inputs: Float, stage: int) -> Float:
    """Grad-CAM as first published, on one stage of the body."""
    column = classifier.card.classes.index(KIND)
    network = classifier.member_for_view(0)
    cam = LayerGradCam(network, list(network.body.children())[stage])
    heat = cam.attribute(torch.from_numpy(inputs), target=column, relu_attributions=True)
    grown = functional.interpolate(heat.detach(), inputs.shape[-2:], mode="bilinear")
    return np.asarray(grown[:, 0])


def occlusion(classifier: ClusterClassifier, crop: Float, window: int = 16) -> Float:
    """How much the logit falls when a window is flattened to the level of one chromosome."""
    column = classifier.card.classes.index(KIND)
    changed, places = [crop], []
    for y in range(0, crop.shape[-1] - window + 1, window // 2):
        for x in range(0, crop.shape[-1] - window + 1, window // 2):
            box = np.s_[y : y + window, x : x + window]
            if crop[1][box].any():
                other = crop.copy()
                other[0][box] = np.minimum(other[0][box], 1 / 3)
                changed.append(other)
                places.append(box)
    logits = classifier.logits(np.stack(changed), tta=1)[0, :, column]
    fall, times = np.zeros(crop.shape[-2:], np.float32), np.zeros(crop.shape[-2:], np.float32)
    for box, logit in zip(places, logits[1:], strict=True):
        fall[box] += logits[0] - logit
        times[box] += 1
    return np.clip(fall / np.maximum(times, 1), 0, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--crosses", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    classifier = load_model(chosen.model, "cpu")
    made = [one for one in (cross(rng) for _ in range(chosen.crosses)) if one is not None]
    inputs = classifier.render([crop for crop, _ in made])
    said = classifier.predict_crops(inputs).argmax(axis=1)
    overlaps = [TYPES.index(ClusterType.OVERLAPPING), TYPES.index(ClusterType.TOUCHING_OVERLAPPING)]
    kept = np.isin(said, overlaps)
    print(f"{len(made)} crosses, {kept.sum()} of them seen as a cluster with an overlap")
    inputs = inputs[kept]
    size = inputs.shape[-1]
    truth = np.stack(
        [
            ndimage.binary_dilation(resize_square(place, size) > 0.5, iterations=round(size / 28))
            for (_, place), use in zip(made, kept, strict=True)
            if use
        ]
    )
    inside = inputs[:, 1] > 0.5
    truth &= inside
    ways = {
        "Grad-CAM, last stage": plain_grad_cam(classifier, inputs, -1),
        "Grad-CAM, stage before": plain_grad_cam(classifier, inputs, -2),
        "ours, 1 copy": class_activation_maps(classifier, inputs, KIND, tta=1),
        "ours, 8 copies": class_activation_maps(classifier, inputs, KIND, tta=8),
        "occlusion (reference)": np.stack([occlusion(classifier, crop) for crop in inputs]),
    }
    print(f"the crossing has {truth.sum() / inside.sum():.2f} of the area")
    for name, heat in ways.items():
        heat = heat * inside
        hottest = heat.reshape(len(heat), -1).argmax(axis=1)
        pointing = np.mean([place.flat[spot] for place, spot in zip(truth, hottest, strict=True)])
        share = (heat * truth).sum(axis=(1, 2)) / np.maximum(heat.sum(axis=(1, 2)), 1e-9)
        print(f"{name:24s} points at the crossing {pointing:.2f}  heat there {share.mean():.2f}")


if __name__ == "__main__":
    main()
