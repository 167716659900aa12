"""The user's choices in napari's Preferences, or defaults without napari."""

from __future__ import annotations

from dataclasses import dataclass

from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES, TYPES

_PLUGIN = "napari-chromocluster"
#: The available colors, safe for the color-blind; light blue and violet are reserved.
_COLORS = {
    "green": "#009E73",
    "orange": "#E69F00",
    "red": "#D55E00",
    "pink": "#CC79A7",
    "gray": "#999999",
    "blue": "#0072B2",
    "yellow": "#F0E442",
    "black": "#000000",
    "white": "#FFFFFF",
}


@dataclass(frozen=True)
class Preferences:
    """Choices that apply to every metaphase.

    Attributes
    ----------
    model : str
        Model selected initially.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    threshold : float
        Confidence below which a region is unsure.
    expected : int or None
        Chromosomes in a cell; None if unknown.
    channel : str
        Name or number of the channel that shows the chromosomes; empty: the likeliest.
    colors : dict of str to str
        Color of each type.
    """

    model: str
    device: str
    threshold: float
    expected: int | None
    channel: str
    colors: dict[str, str]


def preferences() -> Preferences:
    """Read the Preferences."""
    defaults = {str(kind): kind.color for kind in TYPES}
    try:
        from napari.settings import get_plugin_settings

        settings = get_plugin_settings(_PLUGIN)
        general, shades = settings.general, settings.colors
        return Preferences(
            model=str(general.model),
            device=str(general.device),
            threshold=float(general.threshold),
            expected=int(general.expected) or None,
            channel=str(general.channel),
            colors={
                name: _COLORS.get(str(getattr(shades, name)), shade)
                for name, shade in defaults.items()
            },
        )
    except (ImportError, KeyError, AttributeError, ValueError):
        return Preferences("default", "auto", 0.7, EXPECTED_CHROMOSOMES, "", defaults)


def remember(name: str, value: str) -> None:
    """Save a choice made in a dock in the Preferences.

    Parameters
    ----------
    name : str
        ``model``, ``device`` or ``channel``.
    value : str
        The choice.
    """
    try:
        from napari.settings import get_plugin_settings

        setattr(get_plugin_settings(_PLUGIN).general, name, value)
    except (ImportError, KeyError, AttributeError, ValueError):
        return
