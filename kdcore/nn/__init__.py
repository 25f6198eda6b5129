"""Layers, losses and update rules that methods, sources and the engine share."""
