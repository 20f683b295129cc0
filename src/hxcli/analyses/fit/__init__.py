"""Fitting models to traits: one trait under one model, and the comparison of several."""
