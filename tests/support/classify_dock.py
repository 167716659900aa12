"""Drive the classify dock as a user does."""

from types import SimpleNamespace

import numpy as np


def done(qtbot, dock):
    qtbot.waitUntil(lambda: dock.task is None, timeout=60000)


def saved(qtbot, dock):
    """Wait until files are written and the signal is delivered."""
    dock.saving.wait()
    qtbot.waitUntil(lambda: bool(dock.banner.text), timeout=60000)
    dock.saving = None


def find(qtbot, dock, viewer, metaphase):
    viewer.add_image(metaphase.image, name="metaphase")
    dock.input.find_button.click()
    done(qtbot, dock)
    assert not dock.banner.text
    return dock.labels


def click(viewer, labels, label):
    """Click a region in the canvas, as napari passes clicks to its callbacks."""
    y, x = np.argwhere(np.asarray(labels.data) == label)[0]
    drag(viewer, labels, (y, x))


def drag(viewer, labels, *places):
    event = SimpleNamespace(type="mouse_press", button=1, modifiers=(), position=None)
    event.position = labels.data_to_world(places[0])
    steps = [step for call in viewer.mouse_drag_callbacks if (step := call(viewer, event))]
    for step in steps:
        next(step, None)
    event.type = "mouse_move"
    for place in places[1:]:
        event.position = labels.data_to_world(place)
        for step in steps:
            next(step, None)
    event.type = "mouse_release"
    for step in steps:
        next(step, None)
