"""`python -m hxcli` is `hx`."""

from hxcli.cli.app import main

main()
