"""Panels of a case, one file each with `PANEL` inside; their functions take a `Case` and the view."""
