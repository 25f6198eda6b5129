"""Every word of the Library page, apart from the papers' own."""

TITLE = "Library"
INTRODUCTION = (
    "Papers on knowledge distillation, grouped by topic. Pick a topic on the map, search, then **run** a method on "
    "data of your choice or **read** the paper."
)
SEARCH = "Search"
PLACEHOLDER = "A word, a method, a paper …"
FILTERS = "More filters"
MAP = "Map of the field"
MAP_HELP = "Topics; the number of papers on each stands above its cards."
STATUSES = {  # as the link says them, and as a card does
    "runs here": "Runs here",
    "not implemented": "Not implemented yet",
    "reading card": "Summary only",
}
STATUS = "Availability"
KINDS = {  # as the link says them, and as a card does
    "method": "Training method",
    "language method": "Language-model method",
    "diagnostic": "Analysis",
    "data": "Data and augmentation",
    "reading card": "Summary",
}
KIND = "Type"
CONFIDENCES = {
    "A": "Formula checked against code",
    "B": "Formula read in the paper",
    "C": "Formula reconstructed",
    "D": "Abstract only",
}
CONFIDENCE_MEANINGS = {
    "A": "formula read in the authors' code or a faithful public implementation",
    "B": "formula read in the paper or in a detailed account of it",
    "C": "formula reconstructed from the abstract and general knowledge; open the paper before you rely on it",
    "D": "only the abstract was read; there is nothing to run",
}
CONFIDENCE = "How the summary was checked"
NUMERIC = "A mathematical identity of it was checked numerically."
FORMULA = "Formula"
SHOWN = "What to look at"
MISSING = "In KD Lab"
NAME = "Name in KD Lab"
DETAILS = "Formula and details"
RUN = "Run it"
READ = "Read it"
IN_LAB = "in the Lab"
CURVES = "see its loss"
ON_BLACK_BOX = "on the Black box page"
IN_INSPECTOR = "in the Inspector"
COMMAND = "from the command line"
SAME = "The same paper as \u201c{title}\u201d."
NOTATION = "Notation and diagnostics"
NOTATION_TABLE = "**Notation**, the same in every formula:\n\n| symbol | meaning |\n|---|---|\n"
PANELS_TABLE = "\n\n**Diagnostics** that the cards mention:\n\n| diagnostic | what it computes |\n|---|---|\n"
CHECKS_LIST = "\n\n**How a summary was checked:**\n\n"
NOTHING = "No paper matches. Remove a filter or a word."
BASELINES = "Baselines and related methods"
BASELINES_SAY = "Methods to compare with, and relatives of the papers above."


def found(count: int) -> str:
    """How many papers match."""
    return "1 paper" if count == 1 else f"{count} papers"
