"""Data sets of the Hugging Face Hub by name: what the Hub has now, and nothing where it cannot be reached."""

from pathlib import Path

from beft_lib.errors import UserError, unknown

from ..sources import pinned

DEFAULTS = {"train": ("train",), "evaluate": ("validation", "test")}


def stem(name: str) -> str:
    """`NAME` of `hub:ORG/NAME/CONFIG:SPLIT`, with the config."""
    return " ".join(name.removeprefix("hub:").partition(":")[0].split("/")[1:])


def load(name: str, role: str):
    """The `datasets.Dataset` that `hub:ORG/NAME[/CONFIG][:SPLIT]` names, its whole name, and the other splits."""
    path, _, split = name.removeprefix("hub:").partition(":")
    parts = path.split("/")
    if len(parts) not in (2, 3) or not all(part.strip() for part in parts):
        raise UserError(f"data set {name!r} is not a name on the Hub; write hub:ORG/NAME or hub:ORG/NAME/CONFIG:SPLIT")
    repository, config = "/".join(parts[:2]), parts[2] if len(parts) == 3 else None
    if Path(repository).exists():  # `datasets` would read it in the place of the Hub's
        raise UserError(
            f"data set {name}: {Path(repository).absolute()} has the same name as the Hub's data set; name its files "
            "if it is meant, or start in another folder"
        )
    with pinned.quiet():
        revision = latest_revision(name, repository)
        try:
            found = pinned.load(repository, config, revision)
        except pinned.OtherRevision as error:
            raise _unreachable(name, str(error)) from None
        except Exception as error:  # whatever the network, the Hub or the data set can raise
            raise _explained(name, repository, config, revision, error) from error
    if split:
        if split not in found:
            raise unknown(f"split of hub:{path}", split, found)
    elif not (split := next((wanted for wanted in DEFAULTS[role] if wanted in found), "")):
        first = next(iter(found))
        raise UserError(
            f"hub:{path} has no split {' or '.join(DEFAULTS[role])}, and {role} names none; valid: {', '.join(found)}. "
            f"Write hub:{path}:{first}"
        )
    return found[split], f"hub:{path}:{split}", tuple(other for other in found if other != split)


def latest_revision(name: str, repository: str) -> str:
    """The commit that the Hub has now. Without it `datasets` takes the latest copy in its cache, whatever that holds,
    where the Hub does not answer or has the data set no longer."""
    import datasets
    import huggingface_hub

    if told := pinned.told_offline():
        raise _unreachable(name, told)
    try:
        api = huggingface_hub.HfApi(datasets.config.HF_ENDPOINT)
        commit = api.dataset_info(repository, timeout=pinned.TIMEOUT).sha
    except Exception as error:  # of a different HTTP library in each version of huggingface_hub
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, huggingface_hub.errors.HFValidationError) or status in (401, 403, 404):
            raise UserError(
                f"data set {name}: the Hub at {datasets.config.HF_ENDPOINT} has no {repository}, or you may not read "
                "it; check the name, or log in with `hf auth login`"
            ) from error
        raise _unreachable(name, f"HTTP status {status}" if status else pinned.in_words(error)) from error
    if commit is None:
        raise _unreachable(name, f"it names no commit of {repository}")
    return commit


def _unreachable(name: str, reason: str) -> UserError:
    import datasets

    return UserError(
        f"data set {name} could not be read, as the Hub at {datasets.config.HF_ENDPOINT} cannot be reached: "
        f"{reason}. Connect to the Hub and try again, or name a file (.csv, .jsonl, .parquet)"
    )


def _explained(name: str, repository: str, config: str | None, revision: str, error: Exception) -> UserError:
    import datasets

    if isinstance(error, datasets.exceptions.DatasetNotFoundError):  # gated: its revision is known to all
        return UserError(
            f"data set {name}: you may not read {repository} of the Hub at {datasets.config.HF_ENDPOINT} "
            f"({' '.join(str(error).split())}); ask for access, and log in with `hf auth login`"
        )
    try:
        configs = datasets.get_dataset_config_names(repository, revision=revision)
    except Exception:  # the first error says more
        configs = []
    if config is None and len(configs) > 1:
        listed = ", ".join(configs)
        return UserError(f"data set {name} needs a config; valid: {listed}. Write hub:{repository}/{configs[0]}")
    if config is not None and configs and config not in configs:
        return unknown(f"config of hub:{repository}", config, configs)
    return UserError(
        f"data set {name} could not be read from {datasets.config.HF_ENDPOINT}: "
        f"{pinned.in_words(error)}. Try again, or save it as a file (.csv, .jsonl, .parquet) and name that"
    )
