"""Class activation maps of regions, pasted back into the metaphase.

Method: Grad-CAM (Selvaraju et al., ICCV 2017) in the form of HiResCAM (Draelos
and Carin, arXiv:2011.08891): gradient times activation at each
position.  Plain Grad-CAM first averages the gradient over the map, which loses
the position behind the maximum pooling of the head (see ``docs/explanation.md``).
The map is that of the deepest stage of the body with sufficient resolution,
averaged over rotated and mirrored copies like the classification itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES, TYPES
from napari_chromocluster.imaging.crops import resize_square, square_crop_origin
from napari_chromocluster.imaging.regions import Region, Selection, extract_regions
from napari_chromocluster.models.classifier import ClusterClassifier, dihedral_view
from napari_chromocluster.models.frames import as_array, match_frames
from napari_chromocluster.models.metaphase_crops import crop_metaphase
from napari_chromocluster.models.network import ClusterNetwork
from napari_chromocluster.models.predictions import ClassifyError
from napari_chromocluster.progress import Cancelled

#: Minimum side of the feature map to explain, in cells.
_FEWEST_CELLS = 6


def class_activation_maps(
    classifier: ClusterClassifier,
    crops: NDArray[np.float32],
    cluster_type: str | None = None,
    tta: int | None = None,
) -> NDArray[np.float32]:
    """Return the class activation maps of network inputs.

    Parameters
    ----------
    classifier : ClusterClassifier
        The model.
    crops : (N, 3, S, S) float32 array
        From ``classifier.render``.
    cluster_type : str, optional
        Type to explain (default: the predicted type of each crop).
    tta : int, optional
        Rotated and mirrored copies averaged (default: the model card's).

    Returns
    -------
    (N, S, S) float32 array
        0 to 1: how much each pixel contributed to the type.  All 0 if none did.

    Raises
    ------
    ClassifyError
        If the model does not have the type.
    """
    targets = _targets(classifier, crops, cluster_type, tta)
    size = crops.shape[-1]
    copies = max(1, min(8, classifier.card.tta if tta is None else tta))
    views_of: dict[ClusterNetwork, list[int]] = {}
    for number in range(copies):
        views_of.setdefault(classifier.member_for_view(number), []).append(number)
    stages = {member: _fine_stage(member, size, classifier.device) for member in views_of}
    out = np.zeros((len(crops), size, size), np.float32)
    for number, (crop, target) in enumerate(zip(crops, targets, strict=True)):
        inputs = torch.from_numpy(crop[None]).to(classifier.device)
        upright = []
        for member, views in views_of.items():
            copied = torch.cat([dihedral_view(inputs, view) for view in views])
            maps = gradient_times_activation(member, stages[member], copied, int(target))
            grown = functional.interpolate(
                maps.sum(dim=1, keepdim=True), (size, size), mode="bilinear", align_corners=False
            )
            upright += [
                _turned_back(one[None], view) for one, view in zip(grown, views, strict=True)
            ]
        # Remove negative evidence, but only after averaging.
        heat = torch.cat(upright).mean(dim=0)[0].clamp(min=0)
        top = float(heat.max())
        out[number] = (heat / top if top > 0 else heat).cpu().numpy()
    return out


def gradient_times_activation(
    network: nn.Module, stage: nn.Module, inputs: Tensor, target: int
) -> Tensor:
    """Return the activation of a stage times the gradient of an output with respect to it.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode; outputs (N, K).
    stage : nn.Module
        The part of the network to explain.
    inputs : (N, C, S, S) Tensor
        Input of the network.
    target : int
        Column of the output.
    """
    outputs: list[Tensor] = []
    hook = stage.register_forward_hook(lambda module, given, output: outputs.append(output))
    try:
        with torch.enable_grad():
            answer = network(inputs.requires_grad_())[:, target].sum()
            (gradient,) = torch.autograd.grad(answer, outputs[0])
    finally:
        hook.remove()
    return (gradient * outputs[0]).detach()


def _targets(
    classifier: ClusterClassifier,
    crops: NDArray[np.float32],
    cluster_type: str | None,
    tta: int | None,
) -> NDArray[np.intp]:
    """Return the network output to explain for each crop."""
    classes = classifier.card.classes
    if cluster_type is None:
        columns = [[str(kind) for kind in TYPES].index(name) for name in classes]
        chances = classifier.predict_crops(crops, tta=tta)[:, columns]
        return np.asarray(chances.argmax(axis=1), np.intp)
    if str(cluster_type) not in classes:
        raise ClassifyError(
            f"The model {classifier.name!r} does not have the type {str(cluster_type)!r}: "
            f"choose one of {', '.join(classes)}."
        )
    return np.full(len(crops), classes.index(str(cluster_type)), np.intp)


def _fine_stage(network: ClusterNetwork, size: int, device: torch.device) -> nn.Module:
    """Return the deepest stage with a map of at least `_FEWEST_CELLS` cells on a side."""
    stages = list(network.body.children())
    maps = torch.zeros(1, 3, size, size, device=device)
    best = stages[-1]
    with torch.inference_mode():
        for stage in stages:
            maps = stage(maps)
            if maps.shape[-1] >= _FEWEST_CELLS:
                best = stage
    return best


def _turned_back(heat: Tensor, number: int) -> Tensor:
    """Undo `classifier.dihedral_view` on a map (1, 1, S, S)."""
    view = heat.flip(3) if number >= 4 else heat
    return torch.rot90(view, -(number % 4), (2, 3))


def explain_regions(
    classifier: ClusterClassifier,
    image: Any,
    labels: Any,
    select: Selection | None = None,
    *,
    cluster_type: str | None = None,
    expected: int | None = EXPECTED_CHROMOSOMES,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> NDArray[np.float32]:
    """Explain the types of regions as an image of the metaphase's shape.

    Parameters
    ----------
    classifier : ClusterClassifier
        The model.
    image, labels : arrays
        One metaphase or a stack, as for `ClusterClassifier.classify`.
    select : label or collection of labels, optional
        Regions to explain (default all).
    cluster_type : str, optional
        Type to explain, such as ``overlapping`` (default: the predicted type of
        each region).
    expected : int, optional
        Chromosomes in a cell, as in `ClusterClassifier.classify`.
    progress : callable, optional
        Called with the number of regions done and the total.
    stop : callable, optional
        Called between regions; True cancels.

    Returns
    -------
    float32 array of the labels' shape
        0 to 1 inside the regions, scaled for each region individually; 0 elsewhere.

    Raises
    ------
    ClassifyError, RegionError
        As `ClusterClassifier.classify`, or if the model does not have the type.
    Cancelled
        If ``stop`` returned True.
    """
    labels = as_array(labels)
    frames = match_frames(image, labels)
    regions = extract_regions(labels, select)
    out = np.zeros(labels.shape, np.float32)
    done = 0
    for frame, group in itertools.groupby(regions, key=lambda region: region.frame):
        picture, array = (np.asarray(part) for part in frames[frame])
        cut = crop_metaphase(picture, array, group, None if cluster_type else expected)
        kinds = [cluster_type] * len(cut.regions)
        if cluster_type is None:
            chances = classifier.classify_metaphase(cut, stop=stop, again=False).probabilities
            kinds = [str(TYPES[column]) for column in chances.argmax(axis=1)]
        for region, crop, kind in zip(cut.regions, cut.crops, kinds, strict=True):
            if stop is not None and stop():
                raise Cancelled("Explaining was stopped.")
            heat = class_activation_maps(classifier, classifier.render([crop]), kind)[0]
            _paste(out if out.ndim == 2 else out[frame], heat, array, region)
            done += 1
            if progress is not None:
                progress(done, len(regions))
    return out


def _paste(
    target: NDArray[np.float32], heat: NDArray[np.float32], labels: Any, region: Region
) -> None:
    """Paste the heat map of a crop at the position of its region."""
    y0, x0, y1, x1 = region.bbox
    mask = np.asarray(labels[y0:y1, x0:x1]) == region.label
    # The frame contains the bounding box: it fits the region at any rotation.
    top, left, side = square_crop_origin(mask)
    grown = np.clip(resize_square(heat, side), 0, 1)
    ys, xs = np.nonzero(mask)
    inside = grown[ys - top, xs - left]
    # The peak of the crop may be outside the region: rescale to the region.
    highest = inside.max()
    target[y0 + ys, x0 + xs] = inside / highest if highest > 0 else inside
