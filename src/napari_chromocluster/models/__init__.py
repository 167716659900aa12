"""Networks, model files, the model list and the classifier."""

from __future__ import annotations

import os
import sys

_BINDINGS = ("PyQt5", "PyQt6", "PySide2", "PySide6")


def _keep_triton_out() -> None:
    """Prevent the import of Triton in a process with a GUI.

    Mesa's software renderer and Triton contain different LLVMs; importing Triton
    after opening a napari window causes a segmentation fault.  torchvision and
    Lightning import it only for ``torch.compile``, which is not used here.
    """
    if not sys.platform.startswith("linux") or "triton" in sys.modules:
        return
    if any(binding in sys.modules for binding in _BINDINGS):
        sys.modules["triton"] = None  # type: ignore[assignment]


def _let_threads_sleep() -> None:
    """Let torch's threads sleep while they wait; busy-waiting would slow down the viewer.

    The variable is read once, when torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


_keep_triton_out()
_let_threads_sleep()
