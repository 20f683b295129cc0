from hxcli.formats.source import Source
from hxcli.phylogeny import Phylogeny


def read_nexml(source: Source) -> tuple[list[Phylogeny], list[str]]:
    raise source.error("nexml is not read yet", "")
