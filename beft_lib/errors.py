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


class Several(UserError):
    """Mistakes that do not depend on each other, told at once."""

    def __init__(self, errors):
        self.errors = [part for error in errors for part in getattr(error, "errors", [error])]
        listed = "".join(f"\n  {place}. {error}" for place, error in enumerate(self.errors, start=1))
        super().__init__(f"{len(self.errors)} things are wrong:{listed}")


class Gathering:
    """Steps that do not depend on each other, each in a `with` block of its own: `tell` raises all that went wrong."""

    def __init__(self):
        self._errors: list[UserError] = []

    def __enter__(self) -> "Gathering":
        return self

    def __exit__(self, kind, error, trace) -> bool:
        if isinstance(error, UserError):
            self._errors.append(error)
        return isinstance(error, UserError)

    def tell(self) -> None:
        """Raise the one `UserError` there was, or `Several`."""
        if self._errors:
            raise self._errors[0] if len(self._errors) == 1 else Several(self._errors)
