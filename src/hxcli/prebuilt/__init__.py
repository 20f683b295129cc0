"""Prebuilt sweeps: one model a file, all written with `@up` and `@down`."""
