"""Where chance comes from: everything random is a function of the run's seed and the step."""


def mix(seed: int, place: int, salt: int) -> int:
    """Return a seed for one place in one stream; different places and salts give unrelated streams."""
    return ((seed * 0x9E3779B1 + place) * 0x85EBCA6B + salt * 0xC2B2AE35) % (2**63)
