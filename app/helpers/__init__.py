"""Helper processes that have torch, and what the pages ask of them."""
