"""Sources that make synthetic images: their contract, and the networks they train."""
