from hxcli.formats.source import Source
from hxcli.phylogeny import Phylogeny


def read_phyloxml(source: Source) -> tuple[list[Phylogeny], list[str]]:
    raise source.error("phyloxml is not read yet", "")
