"""Trees in files: one file a format; the strict scan of Newick text has a folder of its own."""
