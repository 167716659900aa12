"""What decided: Grad-CAM of regions, pasted back into the metaphase.

Method: Selvaraju et al., ICCV 2017, on the last stage of the body, by Captum.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch
from captum.attr import LayerGradCam
from numpy.typing import NDArray

from napari_chromocluster.imaging.crops import cut_region, frame_side, resize_square
from napari_chromocluster.imaging.regions import Region, extract_regions, reference_size
from napari_chromocluster.imaging.signal import chromosome_signal
from napari_chromocluster.models.classifier import ClusterClassifier, match_frames


def crop_heat(
    classifier: ClusterClassifier, crops: NDArray[np.float32], column: int | None = None
) -> NDArray[np.float32]:
    """Return Grad-CAM of network inputs.

    Parameters
    ----------
    classifier : ClusterClassifier
        The model.
    crops : (N, 3, S, S) float32 array
        From ``classifier.render``.
    column : int, optional
        Output to explain (default: the likeliest of each crop).

    Returns
    -------
    (N, S, S) float32 array
        0 to 1: how much a place spoke for the type.
    """
    cam = LayerGradCam(classifier.network, classifier.network.body[-1])
    size = crops.shape[-1]
    out = np.zeros((len(crops), size, size), np.float32)
    for number, crop in enumerate(crops):
        inputs = torch.from_numpy(crop[None]).to(classifier.device).requires_grad_(True)
        if column is None:
            with torch.no_grad():
                target = int(classifier.network(inputs).argmax())
        else:
            target = column
        heat = cam.attribute(inputs, target=target, relu_attributions=True)
        grown = torch.nn.functional.interpolate(
            heat.detach(), size=(size, size), mode="bilinear", align_corners=False
        )
        top = float(grown.max())
        out[number] = (grown / top if top > 0 else grown)[0, 0].cpu().numpy()
    return out


def explain_regions(
    classifier: ClusterClassifier,
    image: Any,
    labels: Any,
    select: Collection[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Explain the types of regions as an image that lies over the metaphase.

    Parameters
    ----------
    classifier : ClusterClassifier
        The model.
    image, labels : arrays
        One metaphase or a stack, as for `ClusterClassifier.classify`.
    select : collection of int, optional
        Regions to explain (default all).
    progress : callable, optional
        Called with the regions done and their number.

    Returns
    -------
    float32 array of the labels' shape
        0 to 1 inside the regions, 0 elsewhere.
    """
    frames = match_frames(image, labels)
    regions = extract_regions(labels, select)
    out = np.zeros(labels.shape, np.float32)
    signals: dict[int, tuple[NDArray[np.float32], Any, float | None]] = {}
    for done, region in enumerate(regions, start=1):
        if region.frame not in signals:
            picture, array = (np.asarray(part) for part in frames[region.frame])
            reference = reference_size(extract_regions(array))
            signals = {region.frame: (chromosome_signal(picture, array).values, array, reference)}
        signal, array, reference = signals[region.frame]
        crops = classifier.render([cut_region(signal, array, region, reference)])
        heat = crop_heat(classifier, crops)[0]
        target = out if out.ndim == 2 else out[region.frame]
        _paste(target, heat, array, region)
        if progress is not None:
            progress(done, len(regions))
    return out


def _paste(
    target: NDArray[np.float32], heat: NDArray[np.float32], labels: Any, region: Region
) -> None:
    """Put the heat of a crop back where its region lies."""
    y0, x0, y1, x1 = region.bbox
    mask = np.asarray(labels[y0:y1, x0:x1]) == region.label
    top, left, side = frame_side(mask)
    grown = np.clip(resize_square(heat, side), 0, 1)
    # The frame may reach over the region's box on every side.
    for y, x in zip(*np.nonzero(mask), strict=True):
        target[y0 + y, x0 + x] = grown[
            min(max(y - top, 0), side - 1), min(max(x - left, 0), side - 1)
        ]
