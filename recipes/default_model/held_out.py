"""Which groups of the shared data take no part in training, and their regions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import plain_annotations
from napari_chromocluster.cluster_types import TYPES, possible_types
from napari_chromocluster.imaging.crops import render_crop
from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.results.annotated_crops import load_annotated_crops
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types
from read_by_eye import FILE, TEST_FILE, types_read, with_types_read

SETS = ("gband_crops", "gband_metaphases", "mfish")
#: Cases and slides that take no part in training, nor in any choice made during it.
TEST_GROUPS = {"gband_crops": ("case4", "case8"), "mfish": ("A05", "P08", "V18")}
VALIDATION_GROUPS = {"gband_crops": ("case2", "case7"), "mfish": ("A03", "P11")}
#: Of a hundred G-band patients (first six digits of the metaphase's number).
TEST_SHARE, VALIDATION_SHARE = 25, 12


def part(source: str, group: str) -> str:
    """Return ``test``, ``validation`` or ``train`` for a group of a source."""
    if source == "gband_metaphases":
        # All metaphases of a patient lie on one side.
        place = int(hashlib.sha256(group[:6].encode()).hexdigest(), 16) % 100
        if place < TEST_SHARE:
            return "test"
        return "validation" if place < TEST_SHARE + VALIDATION_SHARE else "train"
    if group in TEST_GROUPS[source]:
        return "test"
    return "validation" if group in VALIDATION_GROUPS[source] else "train"


def annotated(data: Path, work: Path, side: str) -> dict[str, Path]:
    """Write one annotation file of the regions of one side for each stain."""
    found: dict[str, list[pd.DataFrame]] = {"gband": [], "dapi": []}
    for name in SETS:
        table = read_annotations(data / name / "annotations.csv")
        mine = table[[part(name, group) == side for group in table["group"]]]
        found["dapi" if name == "mfish" else "gband"].append(mine)
    files = {}
    for stain, tables in found.items():
        files[stain] = work / f"{side}_{stain}.csv"
        pd.concat(tables).to_csv(files[stain], index=False)
    return files


def known_types(data: Path, work: Path, side: str, outline: str = "boxes") -> Path:
    """Write all regions of one side of which boxes leave one type, or whose type was read.

    As our segmentation finds them (``boxes``), or in the outline of the annotated label
    images (``plain``).  Only clusters are missing of which nobody can say the type, so types
    are nearly as frequent as in nature.
    """
    named = _named(data, work, side, outline)
    file = work / f"{side}_{'own' if outline == 'boxes' else outline}.csv"
    with_allowed_types(named).drop(columns="read").to_csv(file, index=False)
    return file


def typed_by_eye(data: Path, work: Path, side: str, outline: str = "boxes") -> Path:
    """Write the clusters of one side whose type was read by eye, in either outline."""
    named = _named(data, work, side, outline)
    file = work / f"{side}_eye{'' if outline == 'boxes' else f'_{outline}'}.csv"
    named[named["read"]].to_csv(file, index=False)
    return file


def _named(data: Path, work: Path, side: str, outline: str) -> pd.DataFrame:
    """Return the regions of one side with the types that were read filled in."""
    table = read_annotations(work / outline / "annotations.csv")
    if outline == "plain":
        table = table[_as_annotated(table)]
    here = table["group"].map(lambda group: part("gband_metaphases", group) == side)
    boxes = pd.read_csv(data / "gband_metaphases" / "boxes.csv")
    return with_types_read(table[here], boxes, types_read(TEST_FILE if side == "test" else FILE))


def other_thresholds(work: Path, side: str) -> dict[int, Path]:
    """Write the regions of one side in the plain outlines that are tighter and looser.

    Those whose type boxes tell, and the clusters of known type that hold the same chromosomes
    (`typed_outlines`, of which the test groups have none).
    """
    tables = [read_annotations(work / name / "annotations.csv") for name in ("typed", "plain")]
    table = with_allowed_types(pd.concat(tables).drop_duplicates(["labels", "label"]))
    here = table["group"].map(lambda group: part("gband_metaphases", group) == side)
    files = {}
    for level in plain_annotations.LEVELS:
        if level != plain_annotations.ANNOTATED:
            rows = table["labels"].str.endswith(f"_plain{level}.png")
            files[level] = file = work / f"{side}_plain{level}.csv"
            table[here & rows].to_csv(file, index=False)
    return files


def named_in_part(work: Path, side: str, most: int = 400) -> dict[str, Path]:
    """Write regions of one side, in each kind of outline, of which the type or some is known.

    Many more than people have annotated: single chromosomes, clusters and *other* as boxes
    tell.  Of each name at most ``most`` (single: 250, other: 150) are drawn.
    """
    files = {}
    for name in ("boxes", "outlines", "plain"):
        table = read_annotations(work / name / "annotations.csv")
        if name == "plain":
            table = table[_as_annotated(table)]
        here = [
            part(source_of(image), group) == side
            for image, group in zip(table["image"], table["group"], strict=True)
        ]
        drawn = [
            rows.sample(min(len(rows), {"single": 250, "other": 150}.get(str(kind), most)),
                        random_state=0)
            for kind, rows in table[here].groupby("cluster_type")
        ]  # fmt: skip
        files[f"{name}, in part"] = file = work / f"{side}_{name}_in_part.csv"
        pd.concat(drawn).to_csv(file, index=False)
    return files


def _as_annotated(table: pd.DataFrame) -> pd.Series:
    """Return which rows have the outline of the annotated label images."""
    return table["labels"].str.endswith(f"_plain{plain_annotations.ANNOTATED}.png")


def source_of(image: str) -> str:
    """Return the set of the shared data that an image belongs to."""
    return next(name for name in Path(image).parts if name in SETS)


@dataclass(frozen=True)
class Answers:
    """What a network says of some regions, and what they are.

    Attributes
    ----------
    logits : (V, N, K) float array
        For V turned copies of N regions.
    names : list of str
        As annotated: a type, or several that are possible.
    shifts : (N, K) float array
        What their surroundings add, see `neighborhood_logit_offsets`.
    """

    logits: NDArray[np.float32]
    names: list[str]
    shifts: NDArray[np.float64]

    @property
    def possible(self) -> NDArray[np.bool_]:
        """Which types each region may be of (N, 5)."""
        kinds = [possible_types(name) for name in self.names]
        return np.array([[kind in some for kind in TYPES] for some in kinds])

    @property
    def true(self) -> NDArray[np.intp]:
        """Column of each region's type, the first possible one (N,)."""
        return np.asarray(self.possible.argmax(axis=1), np.intp)


def answers(classifier: ClusterClassifier, files: dict[str, Path]) -> dict[str, Answers]:
    """Return what a network says of the regions of annotation files."""
    found = {}
    for name, file in files.items():
        cut = load_annotated_crops(read_annotations(file))
        crops = np.stack([render_crop(crop, classifier.card.crop_spec) for crop in cut.crops])
        shifts = classifier.shifts(cut.crops)
        found[name] = Answers(classifier.logits(crops), cut.names, shifts)
    return found
