"""Data sets of the Hugging Face Hub by name: what the Hub has now, and nothing where it cannot be reached."""

from beft_lib.errors import UserError, unknown

from ..hub import TIMEOUT, _quiet

DEFAULTS = {"train": ("train",), "evaluate": ("validation", "test")}


def stem(name: str) -> str:
    """`NAME` of `hub:ORG/NAME/CONFIG:SPLIT`, with the config."""
    return " ".join(name.removeprefix("hub:").partition(":")[0].split("/")[1:])


def load(name: str, role: str):
    """The `datasets.Dataset` that `hub:ORG/NAME[/CONFIG][:SPLIT]` names, its whole name, and the other splits."""
    import datasets

    path, _, split = name.removeprefix("hub:").partition(":")
    parts = path.split("/")
    if len(parts) not in (2, 3) or not all(part.strip() for part in parts):
        raise UserError(f"data set {name!r} is not a name on the Hub; write hub:ORG/NAME or hub:ORG/NAME/CONFIG:SPLIT")
    repository, config = "/".join(parts[:2]), parts[2] if len(parts) == 3 else None
    with _quiet():
        _check_reachable(name)
        try:
            found = datasets.load_dataset(repository, config)
        except Exception as error:  # whatever the network, the Hub or the data set can raise
            raise _explained(name, repository, config, error) from error
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


def _check_reachable(name: str) -> None:
    """By itself `datasets` takes the latest copy in its cache where the Hub does not answer, whatever it holds."""
    import datasets
    import huggingface_hub

    if datasets.config.HF_HUB_OFFLINE or huggingface_hub.is_offline_mode():
        raise _unreachable(name, "HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set")
    try:
        status = huggingface_hub.get_session().head(datasets.config.HF_ENDPOINT, timeout=TIMEOUT).status_code
    except Exception as error:  # of a different HTTP library in each version of huggingface_hub
        raise _unreachable(name, f"{type(error).__name__}: {error}") from error
    if status >= 500:
        raise _unreachable(name, f"HTTP status {status}")


def _unreachable(name: str, reason: str) -> UserError:
    import datasets

    return UserError(
        f"data set {name} could not be read, as the Hub at {datasets.config.HF_ENDPOINT} cannot be reached: "
        f"{' '.join(reason.split())}. Connect to the Hub and try again, or name a file (.csv, .jsonl, .parquet)"
    )


def _explained(name: str, repository: str, config: str | None, error: Exception) -> UserError:
    import datasets

    if isinstance(error, datasets.exceptions.DatasetNotFoundError):
        return UserError(
            f"data set {name}: the Hub at {datasets.config.HF_ENDPOINT} has no {repository}, or you may not read it; "
            "check the name, or log in with `hf auth login`"
        )
    try:
        configs = datasets.get_dataset_config_names(repository)
    except Exception:  # the first error says more
        configs = []
    if config is None and len(configs) > 1:
        listed = ", ".join(configs)
        return UserError(f"data set {name} needs a config; valid: {listed}. Write hub:{repository}/{configs[0]}")
    if config is not None and configs and config not in configs:
        return unknown(f"config of hub:{repository}", config, configs)
    return UserError(
        f"data set {name} could not be read from {datasets.config.HF_ENDPOINT}: {type(error).__name__}: "
        f"{' '.join(str(error).split())}. Try again, or save it as a file (.csv, .jsonl, .parquet) and name that"
    )
