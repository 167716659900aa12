"""What a blind reading says of the DAPI labels that a model contradicts (`dapi_read_by_eye.csv`).

Labels of ``mfish`` come from karyotype maps, where touching homologues look like one
chromosome.  Of the test groups every region with a cluster's label, every region that a model
called a cluster or was unsure of, and some singles were read in shuffled sheets of 28,
without label and answer, and not by a cytogeneticist.  Nothing was trained on or chosen by these::

    python tools/dapi_read_by_eye.py ../shared/data WORK [MODEL]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from held_out import annotated
from napari_chromocluster.cluster_types import TYPES, UNRESOLVED
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.results.annotated_crops import load_annotated_crops
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types
from napari_chromocluster.results.metrics import least_sure, selective_accuracy

FILE = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True)
class Readings:
    """Types of N regions: as annotated, as a model says, as read ("" where nobody read it).

    Attributes
    ----------
    label, answer, reading : (N,) str array
        Types; a reading may be ``unresolved``.
    confidence : (N,) float array
        Of the model.
    """

    label: NDArray[np.str_]
    answer: NDArray[np.str_]
    reading: NDArray[np.str_]
    confidence: NDArray[np.floating]

    def counts(self) -> pd.DataFrame:
        """Count what the reading says, by whether model and label agree and the model is sure."""
        says = np.select(
            [
                self.reading == "",
                self.reading == UNRESOLVED,
                (self.reading == self.label) & (self.reading == self.answer),
                self.reading == self.label,
                self.reading == self.answer,
            ],
            ["not read", "doubtful", "as both", "as the label", "as the model"],
            "neither",
        )
        agree = np.where(self.label == self.answer, "model and label agree", "they differ")
        sure = np.where(least_sure(self.confidence), "among the 5 % least sure", "sure")
        return pd.crosstab([agree, sure], says, rownames=["", "model"], colnames=["read"])

    def selective(self) -> dict[str, float]:
        """Return the accuracy without the least sure, by whom the truth is taken from."""
        by_label = self.label == self.answer
        unread, doubtful = self.reading == "", self.reading == UNRESOLVED
        as_read = np.where(unread | doubtful, by_label, self.reading == self.answer)
        alike = unread | (self.reading == self.label)
        return {
            "the labels": selective_accuracy(self.confidence, by_label),
            "the reading, where there is one": selective_accuracy(self.confidence, as_read),
            "both, where they are alike": selective_accuracy(
                self.confidence[alike], by_label[alike]
            ),
        }


def readings(file: Path, classifier: ClusterClassifier) -> Readings:
    """Return labels, answers and readings of an annotation file."""
    cut = load_annotated_crops(with_allowed_types(read_annotations(file)))
    probabilities = classifier.predict_regions(cut.crops)
    table = pd.read_csv(FILE, dtype=str)
    read = {
        (image, int(label)): kind
        for image, label, kind in zip(
            table["image"], table["label"], table["cluster_type"], strict=True
        )
    }
    places = zip(cut.rows["image"], cut.rows["label"], strict=True)
    return Readings(
        np.array(cut.names),
        np.array([str(kind) for kind in TYPES])[probabilities.argmax(axis=1)],
        np.array([read.get((Path(image).name, int(label)), "") for image, label in places]),
        probabilities.max(axis=1),
    )


def main(data: Path, work: Path, model: str = "default") -> None:
    """Print the counts."""
    found = readings(annotated(data, work, "test")["dapi"], load_model(model, "cpu"))
    print(found.counts().to_string())
    for name, accuracy in found.selective().items():
        print(f"accuracy without the 5 % least sure, by {name}: {accuracy:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
