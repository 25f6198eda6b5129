"""Words, names and sentences of the pages."""
