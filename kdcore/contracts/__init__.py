"""What a method, a model, a data set, a source and a teacher service must be, and what they hand to each other."""
