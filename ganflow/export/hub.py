"""An exported run to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from ganflow.errors import GanflowError, first_line
from ganflow.export.options import COMMAND, Options

_CLIENTS = ("httpx", "httpx2", "requests")  # of huggingface_hub's versions: the packages whose errors mean that no hub answers


def check_repository(name: str, options: Options = COMMAND) -> None:
    """Check the name of a repository.

    Raises:
        GanflowError: it cannot be one.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise GanflowError(f"{options.push} {name}: {first_line(error)}") from None
    if "/" not in name:
        raise GanflowError(f"{options.push} {name}: whose repository? write NAME/{name}")


def push(folder: Path, name: str, *, private: bool = False, force: bool = False, options: Options = COMMAND) -> str:
    """Send a folder's files, as one commit, to a repository, which is made; returns its address. Where the hub is, and who asks,
    HF_ENDPOINT, HF_TOKEN and `hf auth login` say.

    Args:
        private: make a repository that nobody else sees.
        force: add the commit to a repository that is there already.

    Raises:
        GanflowError: the hub refuses, or is not reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi()
    kept = f"the folder is whole, and can be sent later: hf upload {name} {folder}"
    try:
        api.create_repo(name, private=private, exist_ok=force)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Exported by ganflow")
    except LocalTokenNotFoundError:
        raise GanflowError(f"the hub wants to know who you are: hf auth login, or set HF_TOKEN; {kept}") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status == 409:
            raise GanflowError(f"the repository {name} is there already; {options.force} adds a commit to it; {kept}") from None
        if status in (401, 403):
            raise GanflowError(f"the hub does not let you write to {name} ({status}): hf auth login, or another HF_TOKEN; "
                               f"{kept}") from None  # fmt: skip
        raise GanflowError(f"the hub refuses {name} ({first_line(error)}); {kept}") from None
    except RuntimeError as error:  # of one file among several
        why = first_line(error.__cause__) if error.__cause__ else "the connection broke"
        raise GanflowError(f"the hub has not got everything: {first_line(error)} ({why}); {kept}") from None
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _CLIENTS:
            raise
        raise GanflowError(f"the hub cannot be reached at {api.endpoint} ({first_line(error)}); {kept}") from None
    return f"{api.endpoint}/{name}"
