"""What the `kdlab` command and its subcommands share: exit codes, and the catalogue that has to be there."""

from __future__ import annotations

from kdcore.terminal import warn

FAILED = 1  # beside 0 (done) and 130 (stopped by Ctrl-C)
WRONG = 2  # wrong input


def prepare() -> None:
    """Build the catalogue where the sources were edited, and say why that takes a while."""
    from kdcore.spec import catalogue

    if not catalogue.stored().exists():
        warn("The sources changed: the catalogue is derived anew, which takes some seconds ...")
    catalogue.catalogue()
