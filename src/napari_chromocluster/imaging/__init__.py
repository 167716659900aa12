"""Image processing: regions, crops and composed clusters, without torch or a viewer."""
