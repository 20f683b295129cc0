"""Pictures of a reconstruction: where everything goes (numpy only), and how matplotlib draws it.

`layout`, `strokes`, `frames`, `labels` and `choices` need no matplotlib, so that reports use them too.
"""

# Why matplotlib alone. Tried on 1,000 tips and on hostile names: toytree 3.0 parses a tip's name as markup and fails on
# `<img ...>`; iplotx 1.8 gives every edge one colour, cannot turn mathtext off, and takes 4 s and 3.1 MB of SVG (4.6 MB
# round), where a path for every colour takes less than 1 s and 0.4 MB (0.5 MB round). Both bring pandas with them.
