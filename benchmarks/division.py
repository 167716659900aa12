"""How often a metaphase changes sides when others are annotated.

Metaphases with singles alone, of random names; some are added, and both times they are divided
anew::

    python benchmarks/division.py [--times 1000]
"""

from __future__ import annotations

import argparse

from napari_chromocluster.training.config import preset
from napari_chromocluster.training.data.splits import split_groups

#: Metaphases at first, and how many are added.
_NUMBERS = ((10, 5), (5, 5), (40, 10))


def main() -> None:
    """Print a line for each number of metaphases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1000)
    times = parser.parse_args().times
    config = preset("default").replace(validation_share=0.2)
    for first, more in _NUMBERS:
        checked = learnt = 0
        for time in range(times):
            names = [f"metaphase_{time}_{number}" for number in range(first + more)]
            before = split_groups(names[:first], ["single"] * first, config)
            after = split_groups(names, ["single"] * len(names), config)
            if before[0] & after[1]:
                checked += 1
            elif before[1] & after[0]:
                learnt += 1
        print(
            f"{more} added to {first}, {times} times: learnt from and then checked on {checked}, "
            f"only checked on and then learnt from {learnt}"
        )


if __name__ == "__main__":
    main()
