"""Configuration of the trainings of the embedded model: that of the package and more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from napari_chromocluster.training.config import (
    AUGMENTATIONS,
    MONITORS,
    ConfigError,
    TrainingConfig,
)


@dataclass(frozen=True)
class RecipeConfig(TrainingConfig):
    """A training of the recipe.

    ``augment`` may also be ``wide`` (see `wide_augmentation`), and ``monitor`` the ``likelihood``,
    the mean log probability of the label.

    Attributes
    ----------
    near_misses : float
        Share of the composed touching clusters with a visible gap.
    grown_share : float
        Share of the composed touching and touching-overlapping clusters that start from an
        annotated cluster of their metaphase, if it has any.
    debris_share : float
        Share of the composed single chromosomes that get touching debris (small regions annotated
        as *other*); of composed clusters, a quarter of it.
    source_balance : float
        From 0 (regions have equal weight) to 1 (annotation files have equal weight), for drawing
        and for composing.
    teacher : str or None
        Model (a listed name or a file) for distillation, in stages that train the body.
    teacher_share : float
        Share of the distillation loss; the rest is the loss of the labels.
    """

    augmentations: ClassVar[tuple[str, ...]] = (*AUGMENTATIONS, "wide")
    monitors: ClassVar[tuple[str, ...]] = (*MONITORS, "likelihood")

    near_misses: float = 0.0
    grown_share: float = 0.0
    debris_share: float = 0.0
    source_balance: float = 0.0
    teacher: str | None = None
    teacher_share: float = 0.5

    def __post_init__(self) -> None:
        """Raise ConfigError if a value is invalid."""
        super().__post_init__()
        for name in (
            "near_misses",
            "grown_share",
            "debris_share",
            "source_balance",
            "teacher_share",
        ):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must be between 0 and 1.")
        if self.source_balance and not (self.composed_clusters and self.composed_share):
            raise ConfigError("source_balance needs composed clusters.")
