"""An uploaded file is tried when it comes, and again before a run starts."""
