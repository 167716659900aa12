"""Types of clusters that were read by eye, where boxes leave several (`read_by_eye.csv`).

Each line of the file names a metaphase of ``gband_metaphases``, the boxes of a
cluster (their places among the metaphase's lines of ``boxes.csv``, from 0), and
the type, ``unresolved`` where it was doubtful.  They were read in sheets of 35,
with the number of boxes beside each, without the network's answer, and not by a
cytogeneticist; annotated clusters lay among them unmarked (`docs/model.md` says how
many were read alike).  None is of the test groups: those have a file of their own
(`read_by_eye_test.csv`), read in the same way, for evaluation alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from box_annotations import PAIR, owner
from napari_chromocluster.cluster_types import (
    ALTERNATIVE,
    UNRESOLVED,
    UNTYPED_CLUSTER,
    ClusterType,
)
from napari_chromocluster.imaging.files import atomic_path
from napari_chromocluster.imaging.io import read_labels
from napari_chromocluster.results.annotations import read_annotations

FILE = Path(__file__).with_suffix(".csv")
TEST_FILE = FILE.with_stem("read_by_eye_test")
#: What three chromosomes or more make: of 265 overlapping clusters that were read, four.
MANY = f"{ClusterType.TOUCHING}{ALTERNATIVE}{ClusterType.TOUCHING_OVERLAPPING}"


def types_read(file: Path = FILE) -> dict[tuple[str, str], str]:
    """Return the type of each cluster that was read without doubt, by metaphase and boxes."""
    table = pd.read_csv(file, dtype=str)
    sure = table[table["cluster_type"] != UNRESOLVED]
    columns = (sure[name] for name in ("metaphase", "boxes", "cluster_type"))
    return {(metaphase, boxes): kind for metaphase, boxes, kind in zip(*columns, strict=True)}


def write_with_types_read(annotations: Path, boxes: Path) -> Path:
    """Write the regions of an annotation file beside it, with the types that were read.

    Clusters of three chromosomes or more that nobody could read are named `MANY`.
    """
    target = annotations.with_name("annotations_read.csv")
    named = with_types_read(read_annotations(annotations), pd.read_csv(boxes), types_read())
    many = named["chromosomes"].astype(int) > 2
    named.loc[many & (named["cluster_type"] == UNTYPED_CLUSTER), "cluster_type"] = MANY
    with atomic_path(target) as path:
        named.drop(columns="read").to_csv(path, index=False)
    return target


def with_types_read(
    regions: pd.DataFrame, boxes: pd.DataFrame, read: dict[tuple[str, str], str]
) -> pd.DataFrame:
    """Name the clusters of which boxes leave several types, as far as they were read.

    A cluster keeps its type in every outline in which it holds the same chromosomes.

    Parameters
    ----------
    regions : DataFrame
        Annotations with absolute paths, see `read_annotations`.
    boxes : DataFrame
        The lines of ``boxes.csv``.
    read : dict
        See `types_read`.

    Returns
    -------
    DataFrame
        A copy of ``regions`` with the types filled in, and a boolean column ``read``.
    """
    corners = {
        Path(str(name)).stem: mine[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.int64)
        for name, mine in boxes.groupby("image")
    }
    named = regions.assign(read=False)
    metaphases = regions["image"].map(lambda image: Path(image).stem)
    doubtful = regions["cluster_type"].isin([PAIR, UNTYPED_CLUSTER])
    mine = regions[doubtful & metaphases.isin({metaphase for metaphase, _ in read})]
    for (image, file), rows in mine.groupby(["image", "labels"]):
        metaphase = Path(str(image)).stem
        labels = np.asarray(read_labels(str(file)), np.int32)
        owners = [owner(labels, box) for box in corners[metaphase]]
        for index, label in rows["label"].items():
            held = " ".join(str(place) for place, one in enumerate(owners) if one == int(label))
            kind = read.get((metaphase, held))
            if kind is not None:
                named.loc[index, ["cluster_type", "read"]] = kind, True
    return named
