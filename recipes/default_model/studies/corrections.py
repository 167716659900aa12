r"""What each thing that was added after training is worth.

Accuracy and calibration error of a model on annotation files as it is, with one thing left out or
changed at a time, and together with other models::

    python recipes/default_model/studies/corrections.py FILE... \
        [--model MODEL] [--together MODEL...]
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.models.evaluation import evaluate
from napari_chromocluster.models.network import ClusterEnsemble

#: Name of each variant, what of the card it changes, and how it classifies.
VARIANTS: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("as it is", {}, {}),
    ("without the number of chromosomes", {}, {"expected": None}),
    ("without surroundings", {"surroundings": {}}, {}),
    ("without either", {"surroundings": {}}, {"expected": None}),
    ("without temperature", {"temperature": 1.0}, {}),
    ("always one view", {}, {"tta": 1}),
    ("eight views where less than 0.99 sure", {"view_threshold": 0.99}, {}),
    ("always eight views", {"view_threshold": 1.0}, {}),
)


def main() -> None:
    """Print a table, one line a variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument(
        "--together", nargs="*", default=[], help="models whose first network joins"
    )
    options = parser.parse_args()
    model = load_model(options.model, "cpu")
    others = [load_model(one, "cpu").network.members[0] for one in options.together]
    network = ClusterEnsemble([model.network.members[0], *others]) if others else model.network
    print("| | " + " | ".join(file.stem for file in options.files) + " |")
    print("|---" * (1 + len(options.files)) + "|")
    for name, changes, settings in VARIANTS[:1] if others else VARIANTS:
        classifier = ClusterClassifier(network, dataclasses.replace(model.card, **changes), "cpu")
        cells = [evaluate(file, classifier, **settings) for file in options.files]
        print(
            f"| {name} | " + " | ".join(f"{100 * c.accuracy:.1f} %, {c.ece:.3f}" for c in cells),
            "|",
        )


if __name__ == "__main__":
    main()
