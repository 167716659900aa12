"""What must be settled in a process before torch and what builds on it are loaded."""

from __future__ import annotations

import os
import sys

_BINDINGS = ("PyQt5", "PyQt6", "PySide2", "PySide6")


def prepare_torch() -> None:
    """Settle how torch behaves in this process; called before it is first imported.

    Its threads wait for each other asleep, not spinning: where other programs want the cores too,
    as a viewer does, spinning threads take the time that the one they wait for needs.

    And Triton is kept out of a process that draws with OpenGL: Mesa's software renderer and Triton
    each bring an LLVM of their own, and loading Triton after a napari window is open ends the
    process with a segmentation fault.  torchvision and Lightning load it by way of
    ``torch.compile``, which nothing here uses, and do well without.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not sys.platform.startswith("linux") or "triton" in sys.modules:
        return
    if any(binding in sys.modules for binding in _BINDINGS):
        sys.modules["triton"] = None  # type: ignore[assignment]
