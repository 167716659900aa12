"""The user's choices in napari's Preferences, shared by all docks; defaults without napari."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from psygnal import SignalInstance

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

#: Emitted when the list of models changes.
models_changed = SignalInstance((), name="models_changed")


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
    settings = _settings()
    if settings is None:
        return Preferences("default", "auto", 0.7, EXPECTED_CHROMOSOMES, "", defaults)
    general = settings.general
    return Preferences(
        model=str(general.model),
        device=str(general.device),
        threshold=float(general.threshold),
        expected=int(general.expected) or None,
        channel=str(general.channel),
        colors={
            name: _COLORS.get(str(getattr(settings.colors, name)), shade)
            for name, shade in defaults.items()
        },
    )


def remember(name: str, value: str | float) -> None:
    """Save a choice made in a dock in the Preferences; the other docks follow.

    Parameters
    ----------
    name : str
        A field of `Preferences` other than ``colors``.
    value : str or float
        The choice; for ``expected`` 0 means that it is unknown.
    """
    settings = _settings()
    if settings is not None:
        setattr(settings.general, name, value)


def on_preferences_changed(callback: Callable[[], None]) -> Callable[[], None]:
    """Call a function each time a choice changes, in a dock or in the Preferences.

    Parameters
    ----------
    callback : callable
        Called without arguments, in the thread that made the change.

    Returns
    -------
    callable
        Ends it.
    """
    settings = _settings()
    if settings is None:
        return lambda: None

    def changed(event: Any) -> None:
        callback()

    for group in (settings.general, settings.colors):
        group.events.connect(changed)

    def end() -> None:
        for group in (settings.general, settings.colors):
            group.events.disconnect(changed)

    return end


def list_models_in_preferences(names: Sequence[str]) -> None:
    """Let the Preferences list the models that are installed.

    A manifest can list only choices that never change, so until a dock of this plugin has been
    opened the model is a text field there.

    Parameters
    ----------
    names : sequence of str
        Names of the models; the one that is chosen is added.
    """
    settings = _settings()
    if settings is not None:
        chosen = settings.general.model
        listed = [*names, *([] if chosen in names else [chosen])]
        model = type(settings.general)
        model.model_fields["model"].json_schema_extra = {"enum": listed}
        model.model_rebuild(force=True)


def _settings() -> Any:
    """Return napari's settings of this plugin; None without napari or its manifest."""
    try:
        from napari.settings import get_plugin_settings

        return get_plugin_settings(_PLUGIN)
    except (ImportError, KeyError):
        return None
