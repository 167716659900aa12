"""The dock in which a metaphase is segmented, classified and looked at."""

from napari_chromocluster.widgets.classify.widget import ClassifyWidget

__all__ = ["ClassifyWidget"]
