"""Sweeps over trees: jax and numpy only; no files, no labels, no biology."""
