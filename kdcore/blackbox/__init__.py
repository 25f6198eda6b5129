"""What the Black box page orders and shows: presets, orders, the frontier of cost, the microscope."""
