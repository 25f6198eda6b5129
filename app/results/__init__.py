"""What studies and papers found, as tables."""
