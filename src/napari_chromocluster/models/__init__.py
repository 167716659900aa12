"""Networks, model files, the model list and the classifier."""

from __future__ import annotations

import os
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


def _let_threads_sleep() -> None:
    """Let torch's threads wait for each other asleep, not spinning.

    Where other programs want the cores too, as a viewer does, spinning threads
    take the time that the one they wait for needs.  Read once, when torch is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


_keep_triton_out()
_let_threads_sleep()
