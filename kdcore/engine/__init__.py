"""The training loop and what it is made of: batches, the teacher, measuring, checkpoints."""
