"""What a person asks for, and what there is to choose from. No torch is imported here, but where costs are counted."""
