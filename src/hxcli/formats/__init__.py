"""File formats: one file each, reader beside writer; the only place that imports Bio or polars."""
