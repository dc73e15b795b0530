"""The one exception a user should ever have to read."""

__all__ = ["BayescrError"]


class BayescrError(ValueError):
    """Input that cannot be used.

    The message is one line that names the thing, what came, what was expected and the likely fix.
    The command line prints it and exits with status 2.
    """
