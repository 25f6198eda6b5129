"""Words of the Methods page, apart from the methods' own."""

ACCESS = "Teacher access"
HIDDEN = "{hidden} of {all} methods require more access and are not listed."
NOT_AVAILABLE = "Not available at the chosen access level."
IN_LAB = "Try it in the Lab"
IN_LIBRARY = "Paper in the Library"
PROGRESS = "Training progress"
COMPUTING = "Computing the example …"
LOGITS = "Set individual logits"
IN_BATCH = "The sample is in a batch of eight, because this method compares samples with each other."
MEMORY = "The method's memory comes from an earlier student, half as confident as the teacher."
CAPTIONS = {
    "two": "Top: each weighted loss term. Bottom: the negative gradient on the logit of the true class. Above zero, "
    "gradient descent raises that logit; where the curve has a gap, the loss is not differentiable.",
    "five": "Top: both distributions at the method's temperature T. Bottom: the negative gradient on each logit, by "
    "term: upward bars raise a class; a term without bars is not differentiable here, for instance where it divides "
    "by the standard deviation of equal logits.",
    "features": "Two small networks with random weights and one fixed batch: the student's weights are interpolated "
    "from another network's (0) to the teacher's (1), and its features follow. Layers that the method trains next to "
    "the student are first fitted to the teacher's features.",
}
