"""Words of the Lab page: its form's headings, its invitation, and what stands under a method."""

ACCESS = "Teacher access"
RESET = "Reset to defaults"
SIZE_UNKNOWN = "Size unknown until the model is built."
EQUATION = "Equation and source"
DIFFERENCES = "Differences from the paper"
ZERO = "The loss is zero when"
RUN_HELP = "Start a run with these settings on this machine."
POINTS = "Your points"
INVITATION = (
    "**Train a small network to imitate a large one, and watch.** Choose data, a teacher, a student and a method, or "
    "keep the defaults, and press Run: the teacher is trained first, then the student."
)
NOT_SHOWN = "The form cannot show all settings of this run. Not shown: {settings}."
