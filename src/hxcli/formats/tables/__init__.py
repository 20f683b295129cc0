"""Tables in files: trait tables that are read, and the tables that are written."""
