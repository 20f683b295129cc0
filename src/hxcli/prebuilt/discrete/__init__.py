"""Discrete states on a tree: what happens along the edges, messages up and down, likelihoods and their gradients."""
