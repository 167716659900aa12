"""Pixels in, regions, crops and composed clusters out; no torch, no viewer."""
