"""Samples of trees: an analysis on each of them, and what it says about the clades of a summary tree."""
