"""The dock for segmenting, classifying and viewing a metaphase."""

from napari_chromocluster.widgets.classify.widget import ClassifyWidget

__all__ = ["ClassifyWidget"]
