"""Networks, model files, the model list and the classifier."""

from __future__ import annotations

import sys

_BINDINGS = ("PyQt5", "PyQt6", "PySide2", "PySide6")


def _keep_triton_out() -> None:
    """Keep Triton out of a process that draws with OpenGL.

    Mesa's software renderer and Triton each bring an LLVM of their own; loading
    Triton after a napari window is open ends the process with a segmentation
    fault.  torchvision and Lightning load it by way of ``torch.compile``, which
    nothing here uses, and do well without.
    """
    if not sys.platform.startswith("linux") or "triton" in sys.modules:
        return
    if any(binding in sys.modules for binding in _BINDINGS):
        sys.modules["triton"] = None  # type: ignore[assignment]


_keep_triton_out()
