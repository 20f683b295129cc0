"""The report: one page that shows a run to a colleague, in one file that needs no network.

The page works without scripts but for the table; what comes from files is text in it and never markup.
"""
