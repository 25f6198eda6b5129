"""What the walk knows and lets pass: each entry with its reason, and nothing else is let pass anywhere."""

from __future__ import annotations

import re

# Faults: a pattern of "place: fault", and why it stands.
LET_PASS = {
    r"console: .* 404 .*/_stcore/(health|host-config)": "Streamlit asks below the page's own path first, where a page "
    "is opened directly; the second try, at the root, answers",
    r"axe presentation-role-conflict: \d+ such as (stFileUploaderDropzone [^;]*(; )?)+$": "Streamlit's own drop zone",
}

# Controls that are not used: a pattern of "kind name", and why.
NOT_USED = {
    r"press (Main menu|Deploy|Stop|Rerun)$": "Streamlit's own",
    r"follow .*(https?:)": "leads out of KD Lab, and nothing outside is asked",
    r"press Open$": "opens the list of the box beside it, which is used",
    r"press Help for ": "shows its text while the pointer is on it",
    r"pick Replay speed$": "holds for the next replay",
    r"pick Training speed$": "holds from the next step on; its own box says so",
    r"toggle Include local and held-out images in files$": "holds for files that are saved from then on",
    r"(fill Colour|slide Grey level) of the pen$": "holds from the next stroke on",
    r"fill Number of steps$": "holds for the next press of “steps”",
}

# Controls that are the same in every state of a page: a pattern of "group kind name", each used once a page.
ONCE = (
    r"st-key-opening ",
    r"press Section: ",
    r"press Download the figure \(PNG\): ",
    r"follow Download the data \(CSV\): ",
    r"press (Zoom|Pan|Autoscale|Reset axes|Box Select|Toggle Spike Lines|Show closest|Compare data|Zoom in|Zoom out)",
)

# Controls of one kind in one place: a pattern of "group kind name", and how many of them are used unless `--full`.
ALIKE = {
    r"st-key-list press ": 4,  # methods
    r"follow .*: open in the Lab": 3,
    r"press is \S+ .*T .*S ": 3,  # tiles of rows, with class, teacher's and student's answer
    r"follow its loss and knobs": 3,
    r"press Full screen: ": 2,
    r"press (.*: )?(In|De)crement$": 4,
}
SAME = 2  # of controls that differ in nothing but a number


def let_pass(place: str, fault: str) -> bool:
    """Whether a fault is known and has a reason to stand."""
    return any(re.search(pattern, f"{place}: {fault}") for pattern in LET_PASS)


def is_used(said: str) -> bool:
    """Whether a control, said as "kind name", is used at all."""
    return not any(re.search(pattern, said) for pattern in NOT_USED)


def most(said: str) -> tuple[str, int]:
    """Those like a control, said as "group kind name" without numbers, and how many of them are used."""
    return next(((one, count) for one, count in ALIKE.items() if re.search(one, said)), (said, SAME))


def once(said: str) -> bool:
    """Whether a control, said as "group kind name", is the same in every state of its page."""
    return any(re.search(pattern, said) for pattern in ONCE)
