"""Folders for user data and caches; importable without torch."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

#: Environment variable that moves cache, user models, runs and reviews to another folder.
HOME_VARIABLE = "CHROMOCLUSTER_HOME"


def home_dir() -> Path:
    """Return the folder for user data."""
    chosen = os.environ.get(HOME_VARIABLE)
    return (
        Path(chosen) if chosen else Path(platformdirs.user_data_dir("napari-chromocluster", False))
    )


def cache_dir() -> Path:
    """Return the folder of downloads."""
    if os.environ.get(HOME_VARIABLE):
        return home_dir() / "cache"
    return Path(platformdirs.user_cache_dir("napari-chromocluster", False))
