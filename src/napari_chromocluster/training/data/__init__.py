"""What is trained on: annotated regions, their split, composed clusters and augmentation."""
