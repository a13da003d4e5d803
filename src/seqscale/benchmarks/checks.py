"""What is counted must be what the closed form says: one of the two would be wrong in a table otherwise."""


class CountMismatch(Exception):
    """A counted number differs from the closed form."""


def check_count(what: str, counted: int, expected: int, unit: str, where: str) -> int:
    """`counted`, if it is `expected`.

    Args:
        what: what was counted, for the message. unit: of what. where: where to look if it is wrong.

    Raises:
        CountMismatch: it is not.
    """
    if counted != expected:
        raise CountMismatch(
            f"{what}: counted {counted:,} {unit}, the closed form says {expected:,} ({counted - expected:+,}). {where}"
        )
    return counted
