"""The commands: their arguments and help, with the standard library alone so that they answer at once."""

import argparse
import json
import sys
from pathlib import Path

from beft_lib.cli import streams
from beft_lib.errors import UserError
from beft_lib.workspace import checkout

SAVED = ("selected", "all_biases", "b_q", "b_k", "b_v")
LISTS = ("tasks", "methods", "models", "architectures", "claims")


def main(argv: list[str] | None = None) -> int:
    """`beft run [PROFILE] ...`, which `run_all.sh` calls, or `beft tune`, `predict`, `check`, `forget` or `list`; also
    as `python -m beft_lib ...`.

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
    _add_predict(commands)
    _add_forget(commands)
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
    run.add_argument(
        "--engine",
        choices=["local", "ray"],
        default="local",
        help="where runs are carried out: this machine, or a Ray cluster (docs/cluster.md)",
    )
    run.add_argument(
        "--address",
        metavar="A",
        help="of the cluster: auto (this machine's; the default), HOST:PORT or ray://HOST:PORT",
    )
    run.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes side by side (default: one a core); on a cluster, runs at a time (default: as many as fit)",
    )
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
        "stored as they end: the same command resumes, and a copy of the data is kept beside them (`beft forget`).",
    )
    _add_settings(tune, required=True)
    tune.add_argument(
        "--save",
        default="selected",
        choices=SAVED,
        help="which biases to save (default: selected, by the ranking); one that is not selected is tuned as well",
    )
    tune.add_argument("--out", type=Path, metavar="DIR", help="where to save the tuned bias (default: beft-NAME)")


def _add_settings(command, required: bool) -> None:
    """What `tune` is given, which `check` reads too."""
    add = command.add_argument
    add("--model", required=required, help="a Hub id, a folder made by save_pretrained, or minilm-l6")
    add("--train", required=required, metavar="DATA", help="labelled examples to tune on")
    add("--eval", metavar="DATA", help="labelled examples to score on (default: a fifth of --train)")
    add("--text", nargs="+", metavar="COLUMN", help="the column of the texts, or two of a pair")
    add("--label", metavar="COLUMN", help="the column of the labels or scores")
    add("--kind", choices=["classification", "regression"], help="default: by the labels")
    add("--drop-invalid", action="store_true", help="leave out rows without a text or a label")
    add("--max-length", type=int, metavar="TOKENS", help="cut longer texts (default: 128)")
    add("--prompt", metavar="TEMPLATE", help="for a decoder, with columns in braces: '{review} It was'")
    add("--words", nargs="+", metavar="WORD", help="for a decoder: what answers the prompt, one a class")
    add(
        "--space",
        action=argparse.BooleanOptionalAction,
        help="a blank before each word (default: by the words' script)",
    )
    add(
        "--layout",
        type=Path,
        metavar="FILE",
        help="YAML: where the biases of an architecture are that `beft list architectures` lacks",
    )
    add("--term", metavar="TERM", help="query, key or value (default: what the ranking selects)")
    add("--also", nargs="+", default=[], metavar="METHOD", help="compare with these too: lora, query, key, value")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    add("--learning-rate", type=float, metavar="RATE", help="default: 0.001")
    add("--epochs", type=int, metavar="N", help="default: as many as make about 400 steps")
    add("--batch-size", type=int, metavar="N", help="default: 16")
    add("--workers", type=int, metavar="N", help="processes side by side (default: one a core)")
    _add_runs(command)


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
        help="what is wrong with the definition of a task, or with your data, before anything trains",
        description="Check the definition of a task, a YAML file, or with --train what `beft tune` would be given: all "
        "that is wrong with it at once, else what was read, how long tuning takes and how much its scores can tell.",
        epilog="Nothing is kept and nothing trains. Exit status: 0 if nothing is wrong, else 2.",
    )
    check.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help="NAME.yaml, as in beft_lib/tasks/definitions/"
    )
    check.add_argument("--rows", type=Path, metavar="JSONL", help="rows of its data, to be read as its examples")
    _add_settings(check, required=False)


def _add_predict(commands) -> None:
    predict = commands.add_parser(
        "predict",
        help="name new texts by a saved bias",
        description="Name the texts of a table by a saved bias: labels with probabilities, scores, or words.",
        epilog="The output has the input's columns and those that are predicted. Progress is told on standard error.",
    )
    predict.add_argument("--adapter", required=True, type=Path, metavar="DIR", help="what `beft tune` saved, or PEFT")
    predict.add_argument(
        "--input", required=True, metavar="DATA", help="a file (.csv, .tsv, .jsonl, .json, .parquet), hub:..., or -"
    )
    predict.add_argument("--model", help="where the base model is (default: as the adapter says)")
    predict.add_argument("--text", nargs="+", metavar="COLUMN", help="the column of the texts, or two of a pair")
    predict.add_argument("--out", metavar="FILE", help="a .csv or .jsonl file (default: standard output)")
    predict.add_argument("--format", choices=["csv", "jsonl"], help="of the output (default: by its ending, else csv)")


def _add_forget(commands) -> None:
    forget = commands.add_parser(
        "forget",
        help="remove the copy of your data, and the runs on it",
        description="Remove the copy of a data set of your own from the run store, with every run on it. Saved biases "
        "stay.",
    )
    forget.add_argument("task", metavar="TASK", help="as `beft tune` calls it")
    _add_runs(forget)


def _add_runs(command) -> None:
    command.add_argument(
        "--runs", type=Path, metavar="DIR", help="where runs and the copy of the data are (default: the user's cache)"
    )


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
            "clone the repository and call its ./run_all.sh. all other commands need none"
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
            arguments.engine,
            arguments.address,
        )
    )


def _practise(arguments: argparse.Namespace) -> int:
    """What works on a model and data of one's own, and so needs torch."""
    from beft_lib.cli import practice

    return practice.ANSWERS[arguments.command](arguments)


def _check(arguments: argparse.Namespace) -> int:
    """A definition, without torch; or a model and data."""
    if (arguments.file is None) == (arguments.train is None):
        raise UserError(
            "give the definition of a task, `beft check FILE`, or data, `beft check --train DATA --model M`"
        )
    if arguments.file is not None:
        return _tell(arguments)
    if arguments.model is None:
        raise UserError("--model is missing: for which model are the data to be checked? See `beft list models`")
    return _practise(arguments)


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


ANSWERS = {"run": _run, "list": _tell, "check": _check} | dict.fromkeys(("tune", "predict", "forget"), _practise)
