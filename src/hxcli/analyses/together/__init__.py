"""Traits together: correlated evolution, states from relatives and from the other traits."""
