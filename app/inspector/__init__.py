"""The sections of the Inspector, one file each: `show(case)` draws it, and reads how it is looked at from `state`."""
