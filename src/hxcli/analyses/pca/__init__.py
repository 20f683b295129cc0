"""Phylogenetic principal components."""
