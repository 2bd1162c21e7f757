"""Does the Python that runs this file hold exactly what requirements.lock pins?

    python check_lock.py LOCK                      yes: exit 0; prints this Python and its safe-path option
                                                   no: exit 1; prints what differs first
    python check_lock.py LOCK --stamp FILE ROOT    the same, and FILE must be the stamp of this LOCK and ROOT
    python check_lock.py LOCK --write-stamp FILE ROOT

Every start of run_all.sh and run_tests.sh waits for this file. So it uses the standard library only, reads
the names of the `*.dist-info` folders instead of loading 150 of them, and stops at the first difference.
An older Python must be able to parse it, to be told its version: no f-strings and no annotations here.
"""

import os
import re
import sys

OLDEST = (3, 10)


def normal(name):
    """A project's name as packaging compares it: `Huggingface_Hub` is `huggingface-hub`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def same_version(pinned, installed):
    """`==` of PEP 440, as far as a lock needs it: the build `2.13.0+cpu` is a 2.13.0."""
    if "+" not in pinned:
        installed = installed.split("+")[0]
    trim = re.compile(r"(\.0)+(?=$|\+)")
    return trim.sub("", pinned.lower()) == trim.sub("", installed.lower())


# --- Environment markers (PEP 508), the part a lock file contains -------------------------------------------


def environment():
    import platform

    return {
        "implementation_name": sys.implementation.name,
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_system": platform.system(),
        "python_full_version": "%d.%d.%d" % sys.version_info[:3],
        "python_version": "%d.%d" % sys.version_info[:2],
        "sys_platform": sys.platform,
    }


def numbers(version):
    return [int(part) for part in version.split(".")] + [0] * (4 - version.count("."))


def compare(left, operator, right, is_version):
    if operator in ("in", "not in"):
        return (left in right) == (operator == "in")
    if is_version:
        left, right = numbers(left), numbers(right)
    results = {"==": left == right, "!=": left != right}
    if is_version:
        results.update({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right})
    return results[operator]


def holds(marker, values):
    """Whether a marker holds where its variables have these values; ValueError where it is not understood."""
    token = r"\s*(\(|\)|and\b|or\b|not\s+in\b|in\b|[<>=!]=|[<>]|'[^']*'|\"[^\"]*\"|\w+)"
    tokens = re.findall(token, marker)
    if re.sub(token, "", marker).strip():
        raise ValueError("unknown marker: " + marker)
    tokens.reverse()  # pop() takes the next one

    def operand():
        word = tokens.pop()
        if word[0] in "'\"":
            return word[1:-1], False
        return values[word], word.startswith("python_")

    def comparison():
        if tokens[-1] == "(":
            tokens.pop()
            result = disjunction()
            if tokens.pop() != ")":
                raise ValueError("unknown marker: " + marker)
            return result
        left, left_is_version = operand()
        operator = " ".join(tokens.pop().split())
        right, right_is_version = operand()
        return compare(left, operator, right, left_is_version or right_is_version)

    def conjunction():
        result = comparison()
        while tokens and tokens[-1] == "and":
            tokens.pop()
            result = comparison() and result
        return result

    def disjunction():
        result = conjunction()
        while tokens and tokens[-1] == "or":
            tokens.pop()
            result = conjunction() or result
        return result

    try:
        result = disjunction()
    except (IndexError, KeyError):
        tokens.append("?")
    if tokens:
        raise ValueError("unknown marker: " + marker)
    return result


# --- The lock and the installed packages --------------------------------------------------------------------


def pins(lock):
    """The pins of a lock file's text as (name, version, marker); ValueError on any other line."""
    found = []
    for line in lock.splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        match = re.match(r"([A-Za-z0-9][\w.-]*)==([\w.+!]+)\s*(?:;\s*(.+))?$", line)
        if not match:
            raise ValueError("not a pin: " + line)
        found.append((normal(match.group(1)), match.group(2), match.group(3) or ""))
    return found


def installed():
    """name -> version of what this Python would import; the first folder of sys.path wins, as for import."""
    versions = {}
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            continue
        for entry in entries:
            match = re.match(r"(.+?)-([^-]+)(?:-py\d.*)?\.(?:dist|egg)-info$", entry)
            if match:
                versions.setdefault(normal(match.group(1)), match.group(2).replace("_", "-"))
    return versions


def first_difference(lock):
    """What is missing or other than pinned, in words; None where everything is as pinned."""
    values, versions = environment(), installed()
    for name, version, marker in pins(lock):
        if marker and not holds(marker, values):
            continue
        if name not in versions:
            return "%s is missing (pinned: %s)" % (name, version)
        if not same_version(version, versions[name]):
            return "%s is %s (pinned: %s)" % (name, versions[name], version)
    return None


def stamp(lock, root):
    """One line for a lock and the checkout it is installed for: a copied .venv does not match it."""
    import hashlib

    return hashlib.sha256(lock.encode()).hexdigest() + " " + root + "\n"


def main(arguments):
    if sys.version_info[:2] < OLDEST:
        print("Python %d.%d.%d is older than %d.%d" % (sys.version_info[:3] + OLDEST))
        return 1
    with open(arguments[0], encoding="utf-8") as file:
        lock = file.read()
    if arguments[1:2] == ["--write-stamp"]:
        with open(arguments[2], "w", encoding="utf-8") as file:
            file.write(stamp(lock, arguments[3]))
        return 0
    if arguments[1:2] == ["--stamp"]:
        try:
            with open(arguments[2], encoding="utf-8") as file:
                written = file.read()
        except (OSError, UnicodeDecodeError):
            written = ""
        if written != stamp(lock, arguments[3]):
            print("installed for another requirements.lock or another folder, or not to its end")
            return 1
    difference = first_difference(lock)
    if difference:
        print(difference)
        return 1
    print(sys.executable)
    print("-P" if sys.version_info >= (3, 11) else "")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
