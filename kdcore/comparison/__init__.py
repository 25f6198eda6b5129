"""Two models before the same rows: where they disagree, why, and how sure they are. Arrays in, small answers out.

`Case` reads what the examiner (`kdcore.comparison.worker`) has measured; the other files are pure functions of arrays,
one question each. No torch is imported here.
"""
