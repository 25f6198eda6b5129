"""May files hold rows of an edge that asks a teacher behind a wall? One question, in the same words everywhere."""

OPTION = "--real-images"
OTHERS = "Read-only: this run belongs to another user, so nothing is sent to its teacher from here."
ASKED = "Include local and held-out images in files"
HELP = (
    "Recipients of a file then see local images. Without this, no file contains a local or held-out image, or any "
    "image derived from one."
)
UNASKED = f"This picture shows local or held-out images. To save it, tick \u201c{ASKED}\u201d above the panels."
LEFT_OUT = (
    f"Left out of this record: local and held-out images, and images made of them. To include them, add {OPTION}."
)
WITHHELD = (
    f"This record was exported without local and held-out images, which this panel shows; `kdlab export {OPTION}` "
    "includes them."
)
