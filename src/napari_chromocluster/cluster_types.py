"""The cluster types: their order, names, colors, letters, keys and severity.

This is the only module that defines them.
"""

from __future__ import annotations

from enum import StrEnum


class ClusterType(StrEnum):
    """Content of a region of a metaphase image.

    The order of the members is the order of the ``p_*`` columns of the features table and of the
    outputs of a model with five classes.  The four chromosome types are those of Lin et al.,
    Medical Image Analysis 69:101943 (2021); ``OTHER`` is for objects that are not chromosomes:
    interphase nuclei, debris, stain.
    """

    SINGLE = "single"
    TOUCHING = "touching"
    OVERLAPPING = "overlapping"
    TOUCHING_OVERLAPPING = "touching_overlapping"
    OTHER = "other"

    @property
    def display_name(self) -> str:
        """Name in sentence position, such as ``touching-overlapping``."""
        return self.value.replace("_", "-")

    @property
    def color(self) -> str:
        """Default color as ``#RRGGBB`` (Okabe-Ito, safe for the color-blind)."""
        return _COLORS[self]

    @property
    def letter(self) -> str:
        """One letter, so that a type never depends on color alone."""
        return _LETTERS[self]

    @property
    def key(self) -> str:
        """The digit key that assigns this type in the review widget."""
        return str(list(ClusterType).index(self) + 1)

    @property
    def severity(self) -> int:
        """Amount of manual work that a region of this type requires (0: none)."""
        return _SEVERITY[self]

    @property
    def is_cluster(self) -> bool:
        """Whether this type means more than one chromosome."""
        return self in CLUSTERS

    @property
    def probability_column(self) -> str:
        """Column of the features table for this type's probability."""
        return f"p_{self.value}"


_COLORS = {
    ClusterType.SINGLE: "#009E73",
    ClusterType.TOUCHING: "#E69F00",
    ClusterType.OVERLAPPING: "#D55E00",
    ClusterType.TOUCHING_OVERLAPPING: "#CC79A7",
    ClusterType.OTHER: "#999999",
}
_LETTERS = {
    ClusterType.SINGLE: "S",
    ClusterType.TOUCHING: "T",
    ClusterType.OVERLAPPING: "O",
    ClusterType.TOUCHING_OVERLAPPING: "B",
    ClusterType.OTHER: "X",
}
_SEVERITY = {
    ClusterType.SINGLE: 0,
    ClusterType.TOUCHING: 1,
    ClusterType.OVERLAPPING: 2,
    ClusterType.TOUCHING_OVERLAPPING: 3,
    ClusterType.OTHER: 0,
}

#: All types in order.
TYPES: tuple[ClusterType, ...] = tuple(ClusterType)
#: The four types of the paper, in order.
CHROMOSOME_TYPES: tuple[ClusterType, ...] = TYPES[:4]
#: The types that mean more than one chromosome.
CLUSTERS: tuple[ClusterType, ...] = TYPES[1:4]
#: Value for rows of an annotation file on which no human could decide.
UNRESOLVED = "unresolved"
#: Value for rows known to be a cluster of unknown type.  Training uses them (the loss sums over the
#: cluster types); metrics ignore them.
UNTYPED_CLUSTER = "cluster"
#: Separator between types in an annotation that leaves several of them possible.
ALTERNATIVE = "|"
#: Number of chromosomes in a normal human cell.
EXPECTED_CHROMOSOMES = 46


def possible_types(name: str) -> tuple[ClusterType, ...]:
    """Return the types that an annotation leaves possible.

    Parameters
    ----------
    name : str
        A type; several with ``|`` between them (``touching|overlapping``); or
        ``cluster`` for any of the three.

    Raises
    ------
    ValueError
        If the name is not one of these.

    Examples
    --------
    >>> [kind.value for kind in possible_types("touching|overlapping")]
    ['touching', 'overlapping']
    """
    if name == UNTYPED_CLUSTER:
        return CLUSTERS
    return tuple(ClusterType(part.strip()) for part in name.split(ALTERNATIVE))


def type_word(text: str) -> str:
    """Return a value of the column ``cluster_type`` in its canonical spelling.

    Users type names as displayed, and with capital letters.

    Examples
    --------
    >>> type_word("Touching-overlapping"), type_word("touching | overlapping")
    ('touching_overlapping', 'touching|overlapping')
    """
    parts = text.lower().split(ALTERNATIVE)
    return ALTERNATIVE.join(part.strip().replace("-", "_").replace(" ", "_") for part in parts)
