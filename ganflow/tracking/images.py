"""Pictures as MLflow's pages show them: with a slider over the rounds."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

from ganflow.tracking.pending import metric_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ganflow.tracking.artifacts import Artifacts

KEY = "samples"
_THUMBNAIL = 256  # pixels of the longer side, as MLflow's own have


def log_image(client: MlflowClient, artifacts: Artifacts, round: int, path: Path) -> bool:
    """Send a picture, under the names that MlflowClient.log_image gives but for their random part: sent again after it was
    cut off, it takes its own place. Returns whether it was whole; one that is still being written is not sent."""
    from PIL import Image

    try:
        image = Image.open(path)
        image.load()
    except OSError:
        return False
    name = f"{KEY}+step+{round}+timestamp+{int(path.stat().st_mtime * 1000)}+{uuid5(NAMESPACE_OID, f'{artifacts.id} {round}')}"
    scale = _THUMBNAIL / max(image.size)
    small = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
    with TemporaryDirectory() as scratch:
        image.save(Path(scratch, f"{name}.png"))
        small.save(Path(scratch, f"{name}+compressed.webp"))
        artifacts.put(Path(scratch, f"{name}.png"), "images")
        artifacts.put(Path(scratch, f"{name}+compressed.webp"), "images")
    client.set_tag(artifacts.id, "mlflow.loggedImages", True)
    return True


def images_of(artifacts: Artifacts) -> list[int]:
    """The rounds whose samples the server has; the picture itself is written first, then its thumbnail."""
    start = f"images/{metric_name(KEY)}+step+"
    names = artifacts.names("images")
    return sorted({int(n.removeprefix(start).split("+")[0]) for n in names if n.startswith(start) and n.endswith(".webp")})
