"""Mimics that a person can read, a tree or an additive model: arrays in, small frozen answers out."""
