"""Tables of another shape than one row for each tip: transposed ones, and long ones with a row for each trait."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

from hxcli.close_names import listed
from hxcli.errors import InputError
from hxcli.formats.tables.numeric_columns import MISSING
from hxcli.run.name_columns import name_key
from hxcli.text_columns import Texts
from hxcli.traits import Cells

_TRAIT_HEADER = re.compile(
    r"(.*[ ._-])?(traits?|variables?|measure(ment)?s?|measured|characters?|parameters?|attributes?|metrics?|features?|"
    r"propert(y|ies)|quantit(y|ies)|descriptors?|key)([ ._-]?(name|type|id|code|label)s?)?",
    re.IGNORECASE,
)
# What rows of one tip are told apart by where each is an observation of the same traits.
_GROUP_HEADER = re.compile(
    r"(.*[ ._-])?(sex(es)?|gender|age|stage|caste|morph|site|plot|block|local(it|t)y|location|place|country|region|"
    r"island|habitat|population|pop|treatment|season|year|month|date|day|time|batch|run|lab|observer|collector|source|"
    r"reference|ref|study|author|museum|institution|specimen|individual|sample|accession|voucher|replicates?|rep|side|group)"
    r"([ ._-]?(name|type|id|code|label|no|nr|number)s?)?",
    re.IGNORECASE,
)
# Part of all pairs of a tip and a value that must be there.
_DENSE = 0.5


def refuse_long(cells: Cells, file: str) -> None:
    """Raises for a table in which a column names the trait that each row is about.

    Such a column is text, its values come back from tip to tip, and each tip has every value at most once. A column
    of the sexes of specimens may look the same, so that its header counts as well.

    Raises:
        InputError: Says how to pivot the table.
    """
    tips = cells.column(cells.id_index).tolist()
    if len(set(tips)) == len(tips):
        return
    for index, is_text in enumerate(cells.is_text):
        header = cells.header[index]
        if index == cells.id_index or not is_text or _GROUP_HEADER.fullmatch(header.strip()):
            continue
        values = cells.column(index).tolist()
        if _names_traits(tips, values, bool(_TRAIT_HEADER.fullmatch(header.strip()))):
            names = listed(sorted(set(values) - set(MISSING)), 3)
            first = cells.header[cells.id_index]
            what = _value_column(cells, index)
            raise InputError(
                f"a long table: column {header!r} says which trait a row is about ({names}), where a table has one row "
                "for each tip and one column for each trait",
                f"pivot it: R: tidyr::pivot_wider(id_cols = {first!r}, names_from = {header!r}, "
                f"values_from = {what!r}); pandas: pivot(index={first!r}, columns={header!r}, values={what!r}); if its "
                f"rows are replicates, leave column {header!r} out of the file",
                file=file,
            )


def _names_traits(tips: list[str], values: list[str], plainly: bool) -> bool:
    """Whether the values beside tips cross with them; `plainly` where the header says that they are traits."""
    pairs = [(tip, value) for tip, value in zip(tips, values, strict=True) if value not in MISSING]
    having: dict[str, set[str]] = defaultdict(set)
    for tip, value in pairs:
        having[value].add(tip)
    rows_of = Counter(tip for tip, _ in pairs)
    crossing = sum(len(owners) for owners in having.values())
    if len(having) < 2 or max(rows_of.values()) < 2 or max(len(owners) for owners in having.values()) < 2:
        return False
    if plainly:
        return crossing > len(having)
    # Each pair once, and no few of those that there could be: names of places or collectors meet few tips each.
    return crossing == len(pairs) and crossing >= _DENSE * len(having) * len(rows_of)


def _value_column(cells: Cells, names: int) -> str:
    """The header of what is most likely the column of values: one called so, else the first that is no text."""
    others = [i for i in range(len(cells.header)) if i not in (names, cells.id_index)]
    called = [i for i in others if re.fullmatch(r"(.*[ ._-])?(std)?values?", cells.header[i].strip(), re.IGNORECASE)]
    numeric = [i for i in others if not cells.is_text[i]]
    return next((cells.header[i] for i in (*called, *numeric)), "value")


def transposed(cells: Cells, tips: Texts) -> list[str]:
    """The headers that are tips, where there are so many that the table has a column for each tip; else none."""
    known = {name_key(tip) for tip in tips}
    found = [header for header in cells.header if header and name_key(header) in known]
    return found if len(found) >= 2 and 2 * len(found) >= min(len(tips), len(cells.header)) else []
