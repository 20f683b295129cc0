"""Prebuilt sweeps: jitted once for all trees of a size class, all written with `@up` and `@down`."""
