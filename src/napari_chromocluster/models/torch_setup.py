"""Process-wide settings that are needed before torch is imported."""

from __future__ import annotations

import os
import sys

_BINDINGS = ("PyQt5", "PyQt6", "PySide2", "PySide6")


def prepare_torch() -> None:
    """Configure torch in this process; call this before torch is first imported.

    Its threads sleep instead of spinning while they wait for each other: if other programs, such as
    the viewer, need the cores too, spinning threads slow down the thread they wait for.

    Triton is disabled in processes that draw with OpenGL: Mesa's software renderer and Triton both
    bundle LLVM, and loading Triton after a napari window is open crashes the process with a
    segmentation fault.  torchvision and Lightning load it through ``torch.compile``, which is not
    used here, and work without it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not sys.platform.startswith("linux") or "triton" in sys.modules:
        return
    if any(binding in sys.modules for binding in _BINDINGS):
        sys.modules["triton"] = None  # type: ignore[assignment]
