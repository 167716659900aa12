"""Package versions and the current time, for the model card."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("napari-chromocluster", "torch", "torchvision", "lightning", "numpy", "scikit-image")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect a training run."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def now() -> str:
    """Return the current UTC time in ISO 8601 format."""
    return datetime.now(UTC).isoformat(timespec="seconds")
