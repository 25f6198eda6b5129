"""What the examiner does with the two models of a case: one file each, whose name is the task's.

A task that takes long is `work(pair, asked, report) -> Arrays | None`: what it returns is kept as <task>.npz in the
case's folder. One that answers at once is `answer(pair, asked) -> dict`, plain data. A file has one of both.
"""
