"""Coarse-to-fine finetuning in a run folder."""
