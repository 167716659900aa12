"""``python -m napari_chromocluster`` is the command line."""

from napari_chromocluster.cli import main

if __name__ == "__main__":
    main()
