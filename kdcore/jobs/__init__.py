"""Runs that wait, run and are kept: the store both storeys share, its worker and its supervisor."""
