"""A method's loss in a small example, without a run."""
