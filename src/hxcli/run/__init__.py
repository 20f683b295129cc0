"""One run: what is asked as data, and the stages that read, match, compute and write it."""
