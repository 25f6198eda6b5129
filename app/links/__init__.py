"""What a link to each page says."""
