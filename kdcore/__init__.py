"""The engine of KD Lab: it runs distillation and knows no screen."""

__version__ = "0.1.0"
