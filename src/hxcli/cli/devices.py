"""`hx devices`: what JAX sees here."""

from __future__ import annotations

import sys


def devices() -> None:
    """Devices that --device can name, and the versions in use.

    \b
    Example:
      hx devices
    """
    from hxcli.run.runtime import devices as list_devices

    found = list_devices()
    for name, model in found.devices:
        print(f"{name}\t{model}")
    versions = ", ".join(f"{package} {version}" for package, version in found.versions.items())
    print(f"{versions}; compiled programs in {found.cache or 'no folder'}", file=sys.stderr)
    for note in found.notes:
        print(f"hx: note: {note}", file=sys.stderr)
