"""The command line: arguments, help and lists, with the standard library alone so that they answer at once."""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(argv: list[str] | None = None) -> int:
    """`python -m beft_lib run [PROFILE] ...`, which `run_all.sh` calls. Exit status: 0, 1 (a failure) or 2 (usage)."""
    parser = argparse.ArgumentParser(
        prog="beft", description="A companion to BEFT: Bias-Efficient Fine-Tuning of Language Models."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands)
    arguments = parser.parse_args(argv)
    return _run(arguments)


def _add_run(commands) -> None:
    run = commands.add_parser(
        "run",
        prog="./run_all.sh",
        description="Regenerate every result of a profile and render its report.",
        epilog="Runs are stored as they end and never made twice: after Ctrl-C or a kill, the same command resumes.",
    )
    run.add_argument(
        "profile",
        nargs="?",
        default="quick",
        metavar="PROFILE",
        help="smoke, quick (default), minilm or paper; see --list",
    )
    run.add_argument(
        "--only",
        nargs="+",
        action="extend",
        default=[],
        metavar="NOTEBOOK",
        help="these notebooks only, e.g. 01_bias_selection",
    )
    run.add_argument(
        "--data",
        metavar="SOURCE",
        help="hub, bundled or local:DIR (DIR/<task>/<split>.jsonl.gz); default: the profile's",
    )
    run.add_argument("--engine", choices=["local"], default="local", help="where runs are carried out: this machine")
    run.add_argument("--workers", type=int, metavar="N", help="processes side by side (default: one a core)")
    run.add_argument("--out", type=Path, metavar="DIR", help="the report's folder (default: reports/PROFILE)")
    run.add_argument(
        "--published",
        action="store_true",
        help="rebuild tables, figures and report from the report's records; train nothing",
    )
    run.add_argument("--fresh", action="store_true", help="make every run again, whatever is stored")
    run.add_argument("--dry-run", action="store_true", help="check everything and list the runs; do nothing")
    run.add_argument("--list", action="store_true", help="list profiles and notebooks")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.list:
        print(_listing())
        return 0
    from beft_lib.errors import UserError

    try:
        from beft_lib.driver import Request, run

        return run(
            Request(
                arguments.profile,
                tuple(arguments.only),
                arguments.data,
                arguments.workers,
                arguments.out,
                arguments.published,
                arguments.fresh,
                arguments.dry_run,
            )
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; the same command resumes", file=sys.stderr)
        return 130


def _listing() -> str:
    """Profiles by the comment that opens their file, notebooks by their title."""
    lines = ["profiles:"]
    for path in sorted((ROOT / "params").glob("*.yaml")):
        if path.stem != "defaults":
            first = path.read_text(encoding="utf-8").split("\n", 1)[0]
            lines.append(f"  {path.stem:20}{first.removeprefix('#').strip()}")
    lines.append("notebooks:")
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        heading = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown").split("\n", 1)[0]
        lines.append(f"  {path.stem:20}{heading.lstrip('# ')}")
    return "\n".join(lines)
