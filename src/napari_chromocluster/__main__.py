"""``python -m napari_chromocluster`` is the command line."""

import sys

from napari_chromocluster.cli import main

if __name__ == "__main__":
    sys.exit(main())
