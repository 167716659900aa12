"""A training that draws regions of one type together (supervised contrast); not kept.

    python tools/tried_contrast.py ../shared/data scratch/model
"""

import sys
from pathlib import Path

from make_model import by_stain, prepared, trained
from model_recipe import first_training, grown
from napari_chromocluster.training.config import StageConfig

data, work = (Path(one).resolve() for one in sys.argv[1:3])
regions = prepared(data, work)
read = first_training(data, regions.boxes_read, 0)
blurred, typed = work / "blurred" / "annotations_read.csv", work / "typed" / "annotations.csv"
files = by_stain(regions, blurred, typed)
stage = StageConfig("contrast", 10, 1.0e-3, 1.0e-3, image_size=128)
config = grown(
    read, files, stage, 37, debris_share=0.3, augment="wide", teacher="default", teacher_share=0.4
)
config = config.replace(
    base_model=str(work / "taught_25.safetensors"), composed_clusters=20_000
)
print(trained(config, work / "contrast_37"))
