"""The one error a user's mistake raises."""


class UserError(ValueError):
    """A mistake in what the user asked for or supplied: a name, a value, a file, a column.

    The message is the whole report: it names the thing, the value, the valid values and the next step.
    The command line prints it alone, without a traceback, and exits with status 2; in a notebook it is an
    ordinary exception. A fault of the program itself is never a `UserError`.
    """


def unknown(kind: str, value: object, valid, hint: str = "") -> UserError:
    """The error for a name that is not in a closed set: `unknown task 'sst3'; valid: ...; did you mean 'sst2'?`"""
    import difflib

    names = sorted(str(name) for name in valid)
    close = difflib.get_close_matches(str(value), names, n=1)
    message = f"unknown {kind} {value!r}; valid: {', '.join(names)}"
    if close:
        message += f" (did you mean {close[0]!r}?)"
    return UserError(f"{message}. {hint}".rstrip(" ."))
