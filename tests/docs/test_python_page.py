"""The page on Python and the notebook are executed as they are written."""

import contextlib
import io

import nbformat
import pytest
from docs_helpers import DOCS, blocks


def test_the_page_runs_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "\n".join(code for language, code in blocks((DOCS / "python.md").read_text(encoding="utf-8")) if language == "python")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "python.md", "exec"), {"__name__": "python_page"})
    said = out.getvalue()
    assert "finished 60\n" in said
    assert "unknown key 'round' in train" in said
    assert (tmp_path / "ring.png").stat().st_size > 1000
    assert len(list((tmp_path / "runs" / "ring").iterdir())) == 2
    assert (tmp_path / "runs" / "ring-seeds-1" / "trials.jsonl").exists()


@pytest.mark.slow
def test_the_notebook_runs_as_written(tmp_path):
    from nbclient import NotebookClient

    notebook = nbformat.read(DOCS / "notebook.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    shown = [output.data for output in outputs if output.output_type in ("display_data", "execute_result")]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("image/png" in data for data in shown)  # samples
    html = [data["text/html"] for data in shown if "text/html" in data]
    assert any("<img src" in text and "rounds/s" in text for text in html)  # progress, with the last picture
    assert any("<table" in text for text in html)
    assert not [o for o in outputs if o.output_type == "stream" and o.name == "stderr" and "Traceback" in o.text]
