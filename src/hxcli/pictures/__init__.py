"""Pictures of a reconstruction: where everything goes (numpy only), and how matplotlib draws it.

`layout`, `strokes`, `frames`, `labels` and `choices` need no matplotlib, so that reports use them too.
"""

# Why matplotlib alone. Tried on 1,000 tips and on hostile names: toytree 3.0 parses a tip's name as markup and fails on
# `<img ...>`; iplotx 1.8 gives every edge one colour, cannot turn mathtext off, and takes 4 s and 3 MB of SVG or more,
# where a path for every colour takes 1 s and a tenth of that. Both bring pandas with them.
