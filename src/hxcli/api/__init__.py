"""The front door for Python: `hx.mean(tree, traits, ...)` is `hx mean TREE TRAITS ...`, with the same options.

A function turns its arguments into the words of the command line, lets the command say what they ask for, and performs
it on what the program has in memory: one definition of every option, default and refusal serves both.
"""
