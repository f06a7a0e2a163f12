"""The one exception that reaches a user as a single line."""


class PrmError(Exception):
    """Something the user can mend.

    The message is one line that names the file, row or key at fault and the remedy; the command line prints it as it
    is and exits with 2. Bugs of ours are never wrapped in it: they keep their traceback.
    """
