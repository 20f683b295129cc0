"""The strict scan of Newick text: every byte accounted for, whatever the size."""
