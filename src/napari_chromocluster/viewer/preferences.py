"""What the user chose in napari's Preferences; defaults where there is no napari to ask."""

from __future__ import annotations

from dataclasses import dataclass

from napari_chromocluster.taxonomy import EXPECTED_CHROMOSOMES, TYPES

_PLUGIN = "napari-chromocluster"


@dataclass(frozen=True)
class Preferences:
    """Choices that hold for every metaphase.

    Attributes
    ----------
    model : str
        Model chosen at first.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    threshold : float
        Confidence under which a region is unsure.
    expected : int or None
        Chromosomes in a cell; None where that is not known.
    colors : dict of str to str
        Colour of each type.
    """

    model: str
    device: str
    threshold: float
    expected: int | None
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
            colors={
                name: _color(getattr(shades, name, shade), shade)
                for name, shade in defaults.items()
            },
        )
    except (ImportError, KeyError, AttributeError, ValueError):
        return Preferences("default", "auto", 0.7, EXPECTED_CHROMOSOMES, defaults)


def _color(chosen: object, default: str) -> str:
    """Return a colour that was typed in, or the default where that is none."""
    from napari.utils.colormaps.standardize_color import transform_color

    try:
        transform_color(str(chosen))
    except (ValueError, KeyError, AttributeError, TypeError):
        return default
    return str(chosen)
