"""The commands: their arguments and help, with the standard library alone so that they answer at once."""

import argparse
import json
import sys
from pathlib import Path

from beft_lib.cli import layouts, streams
from beft_lib.errors import UserError
from beft_lib.workspace import checkout

LISTS = ("tasks", "methods", "models", "architectures", "claims")


def main(argv: list[str] | None = None) -> int:
    """`beft run [PROFILE] ...`, which `run_all.sh` calls, `beft tune`, `beft list` or `beft check`; also as
    `python -m beft_lib ...`.

    What is asked for is done whoever reads the output. Exit status: 0, 1 (a failure) or 2 (usage).
    """
    streams.steady()
    parser = argparse.ArgumentParser(
        prog="beft", description="A companion to BEFT: Bias-Efficient Fine-Tuning of Language Models."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands)
    _add_tune(commands)
    _add_list(commands)
    _add_check(commands)
    arguments = parser.parse_args(argv)
    status = answer(arguments)
    sys.stdout.flush()
    return status


def _add_run(commands) -> None:
    run = commands.add_parser(
        "run",
        prog="./run_all.sh",
        help="the notebooks of a profile, and its report (in a checkout)",
        description="Regenerate every result of a profile and render its report.",
        epilog="Runs are stored as they end and never made twice: after Ctrl-C or a kill, the same command resumes.",
    )
    run.add_argument(
        "profile",
        nargs="?",
        default="quick",
        metavar="PROFILE",
        help="default: quick; see --list",
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
    run.add_argument(
        "--plan-power",
        action="store_true",
        help="print what would decide each undecided claim and its price, from the stored runs (or, with --published, "
        "the records); run nothing",
    )
    run.add_argument("--list", action="store_true", help="list profiles and notebooks")


def _add_tune(commands) -> None:
    tune = commands.add_parser(
        "tune",
        prog="python -m beft_lib tune",
        help="the right bias of your model on your data",
        description="Rank the attention biases of your model on your data, tune the selected one, and save it.",
        epilog="A data set is a file (.csv, .tsv, .jsonl, .json, .parquet) or hub:ORG/NAME[/CONFIG][:SPLIT]. Runs are "
        "stored as they end: the same command resumes, and a copy of the data is kept beside them.",
    )
    tune.add_argument("--model", required=True, help="a Hub id, a folder made by save_pretrained, or minilm-l6")
    tune.add_argument("--train", required=True, metavar="DATA", help="labelled examples to tune on")
    tune.add_argument("--eval", metavar="DATA", help="labelled examples to score on (default: a fifth of --train)")
    tune.add_argument("--text", nargs="+", metavar="COLUMN", help="the column of the texts, or two of a pair")
    tune.add_argument("--label", metavar="COLUMN", help="the column of the labels or scores")
    tune.add_argument("--kind", choices=["classification", "regression"], help="default: by the labels")
    tune.add_argument("--drop-invalid", action="store_true", help="leave out rows without a text or a label")
    tune.add_argument("--max-length", type=int, metavar="TOKENS", help="cut longer texts (default: 128)")
    tune.add_argument("--prompt", metavar="TEMPLATE", help="for a decoder, with columns in braces: '{review} It was'")
    tune.add_argument("--words", nargs="+", metavar="WORD", help="for a decoder: what answers the prompt, one a class")
    tune.add_argument(
        "--space",
        action=argparse.BooleanOptionalAction,
        help="a blank before each word (default: by the words' script)",
    )
    tune.add_argument(
        "--layout",
        type=Path,
        metavar="FILE",
        help="YAML: where the biases of an architecture are that `beft list architectures` lacks",
    )
    tune.add_argument("--term", metavar="TERM", help="query, key or value (default: what the ranking selects)")
    tune.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    tune.add_argument("--learning-rate", type=float, metavar="RATE", help="default: 0.001")
    tune.add_argument("--epochs", type=int, metavar="N", help="default: as many as make about 400 steps")
    tune.add_argument("--batch-size", type=int, metavar="N", help="default: 16")
    tune.add_argument("--workers", type=int, metavar="N", help="processes side by side (default: one a core)")
    tune.add_argument("--out", type=Path, metavar="DIR", help="where to save the tuned bias (default: beft-NAME)")


def _add_list(commands) -> None:
    lists = commands.add_parser(
        "list",
        help="what there is to choose from, by name",
        description="What there is to choose from, a line each, by the name that every command and parameter takes.",
    )
    lists.add_argument("kind", choices=LISTS, help="which list")


def _add_check(commands) -> None:
    check = commands.add_parser(
        "check",
        help="what is wrong with the definition of a task",
        description="Check the definition of a task, a YAML file, and say all that is wrong with it at once.",
        epilog="Exit status: 0 if nothing is wrong, else 2.",
    )
    check.add_argument("file", type=Path, metavar="FILE", help="NAME.yaml, as in beft_lib/tasks/definitions/")
    check.add_argument("--rows", type=Path, metavar="JSONL", help="rows of its data, to be read as its examples")


def answer(arguments: argparse.Namespace) -> int:
    try:
        return ANSWERS[arguments.command](arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; the same command resumes", file=sys.stderr)
        return 130


def _tell(arguments: argparse.Namespace) -> int:
    from beft_lib.cli import definitions, lists

    named = arguments.command == "list"
    print(lists.text(arguments.kind) if named else definitions.text(arguments.file, arguments.rows))
    return 0


def _run(arguments: argparse.Namespace) -> int:
    root = checkout()
    if root is None:
        raise UserError(
            "`beft run` executes a source checkout's notebooks, and this beft_lib was installed without a checkout; "
            "clone the repository and call its ./run_all.sh. `beft tune`, `beft list` and `beft check` need none"
        )
    if arguments.list:
        print(_listing(root))
        return 0
    from beft_lib.report.driver import Request, run

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
            arguments.plan_power,
        )
    )


def _tune(arguments: argparse.Namespace) -> int:
    from beft_lib.chapters.quickstart import tune

    if arguments.layout is not None:
        layouts.register(arguments.layout)
    text = arguments.text
    return tune.command(
        arguments.model,
        arguments.train,
        arguments.eval,
        out=arguments.out,
        text=None if text is None else text[0] if len(text) == 1 else tuple(text),
        label=arguments.label,
        kind=arguments.kind,
        drop_invalid=arguments.drop_invalid,
        max_length=arguments.max_length,
        prompt=arguments.prompt,
        words=arguments.words,
        space=arguments.space,
        term=arguments.term,
        seeds=tuple(arguments.seeds),
        learning_rate=arguments.learning_rate,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
    )


def _listing(root: Path) -> str:
    """Profiles by the comment that opens their file, notebooks by their title."""
    lines = ["profiles:"]
    for path in sorted((root / "params").glob("*.yaml")):
        if path.stem != "defaults":
            first = path.read_text(encoding="utf-8").split("\n", 1)[0]
            lines.append(f"  {path.stem:20}{first.removeprefix('#').strip()}")
    lines.append("notebooks:")
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        heading = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown").split("\n", 1)[0]
        lines.append(f"  {path.stem:20}{heading.lstrip('# ')}")
    return "\n".join(lines)


ANSWERS = {"run": _run, "tune": _tune, "list": _tell, "check": _tell}
