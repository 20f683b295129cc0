"""Formats of other programs that show trees: iTOL and Nextstrain."""
