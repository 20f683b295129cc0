"""`python -m hxcli` is `hx`."""

from hxcli.cli.start import main

main()
