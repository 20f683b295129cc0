"""Branch labels of codeml (Yang 2007, Mol. Biol. Evol. 24:1586), `#1` and `$1`, which are no part of a Newick tree."""

from __future__ import annotations

import re

CODEML_MARK = re.compile(r"[#$][0-9]+(?:\.[0-9]+)?$")
CODEML_ADVICE = "'#1' and '$1' are codeml's branch labels, no part of the tree: remove them"
