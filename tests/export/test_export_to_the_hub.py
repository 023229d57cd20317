"""To the hub and back, by a server that answers as the hub does."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from export_helpers import trained
from port_helpers import free_ports

TOKEN = "hf_secret"
LARGE = (".safetensors", ".png")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Repositories in memory: what is committed, and what was stored for it beside (LFS)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.stored: dict[str, bytes] = {}
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def answer(self, status: int, content: Any = b"", **headers: str) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def do_POST(self) -> None:
        hub, body = self.server, self.body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid credentials"})
        if self.path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in hub.repositories:
                return self.answer(409, {"error": "You already created this model repo", "url": f"{hub.address}/{name}"})
            hub.repositories[name] = {}
            hub.private[name] = asked.get("visibility") == "private" or bool(asked.get("private"))
            return self.answer(200, {"url": f"{hub.address}/{name}", "name": name, "id": "1"})
        if self.path.endswith("/info/lfs/objects/batch"):
            objects = [{"oid": o["oid"], "size": o["size"], "actions": {"upload": {"href": f"{hub.address}/lfs/{o['oid']}"}}}
                       for o in json.loads(body)["objects"]]  # fmt: skip
            return self.answer(200, {"transfer": "basic", "objects": objects})
        name = "/".join(self.path.split("/")[3:5])
        if "/preupload/" in self.path:
            files = [{"path": f["path"], "shouldIgnore": False, "uploadMode": "lfs" if f["path"].endswith(LARGE) else "regular"}
                     for f in json.loads(body)["files"]]  # fmt: skip
            return self.answer(200, {"files": files})
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                hub.repositories[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                hub.repositories[name][value["path"]] = hub.stored[value["oid"]]
        return self.answer(200, {"commitUrl": f"{hub.address}/{name}/commit/{COMMIT}", "commitOid": COMMIT, "success": True})

    def do_PUT(self) -> None:
        self.server.stored[self.path.rpartition("/")[2]] = self.body()
        self.answer(200)

    def do_GET(self) -> None:
        hub, parts = self.server, self.path.partition("?")[0].split("/")
        if parts[1] == "api":
            name = "/".join(parts[3:5])
            if name not in hub.repositories:
                return self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            if "/tree/" in self.path:
                files = hub.repositories[name].items()
                return self.answer(200, [{"type": "file", "path": path, "size": len(raw), "oid": COMMIT} for path, raw in files])
            siblings = [{"rfilename": path} for path in hub.repositories[name]]
            about = {"id": name, "modelId": name, "sha": COMMIT, "private": False, "tags": []}
            return self.answer(200, {**about, "siblings": siblings})
        content = hub.repositories["/".join(parts[1:3])]["/".join(parts[5:])]
        etag = hashlib.sha256(content).hexdigest()
        return self.answer(200, content, ETag=f'"{etag}"', X_Repo_Commit=COMMIT, Content_Type="application/octet-stream")

    do_HEAD = do_GET


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's, to its HTTP client
def test_a_run_goes_to_the_hub_and_comes_back(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub.constants
    from huggingface_hub import snapshot_download

    from ganflow import RunFolder, load_game
    from ganflow.cli import main

    monkeypatch.chdir(tmp_path)
    for name, value in {"ENDPOINT": hub.address, "HF_HUB_DISABLE_XET": True}.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE",
                        hub.address + "/{repo_id}/resolve/{revision}/{filename}")  # fmt: skip
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    folder = trained("ring", tmp_path / "runs", "generator.width=8", "critic.width=8", "data.samples=500")

    assert main(["export", "latest", "--to", "hub", "--push", "ann/ring", "--private"]) == 0
    assert capsys.readouterr().out.endswith(f"sent to {hub.address}/ann/ring\n")
    assert hub.private == {"ann/ring": True}
    sent = hub.repositories["ann/ring"]
    assert sent == {p.name: p.read_bytes() for p in (tmp_path / "ring-hub").iterdir()}

    assert "`hf download ann/ring --local-dir ring`" in (tmp_path / "ring-hub" / "README.md").read_text()
    found = Path(snapshot_download("ann/ring", local_dir=tmp_path / "fetched"))
    z = torch.randn(4, 2)
    torch.testing.assert_close(
        load_game(RunFolder(found)).call("sample", z=z), load_game(folder).call("sample", z=z), atol=0, rtol=0
    )

    again = ["export", "latest", "--to", "hub", "-o", "again", "--push", "ann/ring"]
    assert main(again) == 2
    told = capsys.readouterr().err
    assert "the repository ann/ring is there already; --force adds a commit to it; the folder is whole" in told
    assert "hf upload ann/ring again" in told
    assert main([*again, "--force"]) == 0

    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert main(["export", "latest", "--to", "hub", "-o", "other", "--push", "ann/other"]) == 2
    assert "the hub does not let you write to ann/other (401): hf auth login" in capsys.readouterr().err


@pytest.mark.rare  # half a minute: huggingface_hub tries again and again
def test_a_hub_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub.constants

    from ganflow.cli import main

    monkeypatch.chdir(tmp_path)
    trained("ring", tmp_path / "runs", "generator.width=8", "critic.width=8", "data.samples=500")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", nobody)
    assert main(["export", "latest", "--to", "hub", "-o", "away", "--push", "ann/away"]) == 2
    told = capsys.readouterr().err
    assert f"the hub cannot be reached at {nobody}" in told
    assert told.count("\n") == 1
    assert (tmp_path / "away" / "model.safetensors").exists()
