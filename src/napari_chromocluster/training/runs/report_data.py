"""Content of the report folder of a training run, without the modules that write it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from napari_chromocluster.models.calibration import PRIOR_REGIONS
from napari_chromocluster.training.runs.run_folder import Run, RunError

#: Files of the report folder.
PREDICTIONS, METRICS, PAGE = "validation.json", "metrics.json", "report.html"


@dataclass(frozen=True)
class Mistake:
    """A validation region that the new model classifies wrongly.

    Attributes
    ----------
    image, labels : str
        Files; ``labels`` is empty if the image is the region.
    label : int
        Label of the region (0 if the image is the region).
    group : str
        Its metaphase, slide or case.
    true, predicted : str
        Cluster types.
    confidence : float
        Probability of the predicted type.
    y, x : float
        Centroid of the region in the image, in px.
    thumbnail : str
        Image file, relative to the report folder; empty after the first ones.
    """

    image: str
    labels: str
    label: int
    group: str
    true: str
    predicted: str
    confidence: float
    y: float
    x: float
    thumbnail: str = ""


@dataclass(frozen=True)
class Report:
    """The content of a report folder.

    Attributes
    ----------
    new : dict
        `Evaluation.to_dict` of the trained model on the validation groups.
    old : dict or None
        The same for the old model; None if it cannot classify.
    old_name : str
        Name of the old model.
    temperature : float
        Fitted on the validation groups.
    groups : list of str
        Validation groups.
    seen_by_old : list of str
        Validation groups that the old model was trained on: its metrics are too good there.
    mistakes : list of Mistake
        The most confident first.
    folds : int
        Number of folds.
    pooled : dict or None
        `Evaluation.to_dict` over all folds.
    unchecked : int
        Groups that were not validated on in any fold.
    reliability : list of (float, float, int)
        Mean confidence, accuracy and number of regions of each bin of confidence.
    share_of_start : float
        Share of the old model in the averaged weights.
    networks : int
        Number of networks in the new model.
    start_temperature : float or None
        Temperature of the base model; None in reports of older versions.
    """

    new: dict[str, Any]
    old: dict[str, Any] | None
    old_name: str
    temperature: float
    groups: list[str]
    seen_by_old: list[str]
    mistakes: list[Mistake]
    folds: int = 1
    pooled: dict[str, Any] | None = None
    reliability: list[tuple[float, float, int]] = field(default_factory=list)
    share_of_start: float = 0.0
    networks: int = 1
    unchecked: int = 0
    start_temperature: float | None = None

    @property
    def calibration_known(self) -> bool:
        """Whether there are enough regions to judge the calibration."""
        return int(self.new["n"]) >= PRIOR_REGIONS

    def what_calibration_rests_on(self) -> str:
        """Describe the temperature and how reliable it is."""
        n, groups = self.new["n"], len(self.groups)
        begun = (
            ""
            if self.start_temperature is None
            else f" (at the start {self.start_temperature:.2f})"
        )
        text = (
            f"Temperature {self.temperature:.2f}{begun}, fitted on these {n} regions of {groups} "
            f"{'metaphase or slide' if groups == 1 else 'metaphases or slides'}"
        )
        if self.calibration_known:
            return f"{text}, so the calibration error is a little too good."
        return (
            f"{text}. They are too few to calibrate the model: the temperature stays near that of "
            f"the start, and the calibration error is not meaningful."
        )

    def provenance_note(self) -> str:
        """Describe what the model keeps of the old one; empty if nothing."""
        kept = []
        if self.share_of_start:
            kept.append(f"{self.share_of_start:.0%} of the weights")
        if self.networks > 1:
            others = self.networks - 1
            kept.append(f"{others} other network{'' if others == 1 else 's'} of the ensemble")
        return f"It keeps {' and '.join(kept)} of the old model." if kept else ""

    def unchecked_note(self) -> str:
        """Describe the groups that were not validated on in any fold; empty if none."""
        if not self.unchecked:
            return ""
        some = "1 group was" if self.unchecked == 1 else f"{self.unchecked} groups were"
        return (
            f"{some} not checked in any fold: added after the training had started, or without a "
            f"region of one known type."
        )

    def caveats(self) -> list[str]:
        """Return what to know about the metrics, one sentence each, for the page and the dock."""
        found = [self.provenance_note()]
        if self.pooled is not None:
            found.append(
                f"Over {self.folds} folds, each group checked once, by a model that never saw it "
                f"({self.pooled['n']} regions): accuracy {self.pooled['accuracy']:.1%}, macro "
                f"sensitivity {self.pooled['macro_sensitivity']:.1%}."
            )
        found.append(self.unchecked_note())
        if self.seen_by_old:
            found.append(
                f"{self.old_name} was trained on {len(self.seen_by_old)} of these groups: its "
                f"figures are too good, and the comparison is unfair to the new model."
            )
        return [one for one in found if one]


def read_report(run: Run) -> Report | None:
    """Read the report of a run, or return None if it has not been written yet.

    Raises
    ------
    RunError
        If it is damaged.
    """
    path = run.report_folder / METRICS
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["mistakes"] = [Mistake(**one) for one in values["mistakes"]]
        return Report(**values)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"The report {path} cannot be read: train again to get one.") from error
