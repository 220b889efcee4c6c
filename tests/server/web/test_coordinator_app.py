import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from server.settings import Coordinator
from server.web.app import coordinator_app
from shared.errors import ConfigError


def test_the_pages_load_neither_pytorch_nor_flower() -> None:
    code = "import sys, server.web.app; print([m for m in ('torch', 'monai', 'flwr') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_pages_listen_elsewhere_than_a_hospitals(folder: Path) -> None:
    assert Coordinator.read(folder).pages.port == 8091
    (folder / "coordinator.yaml").write_text("address: a.example\npages: {idle_minutes: 5}\n")
    pages = Coordinator.read(folder).pages
    assert (pages.port, pages.bind, pages.idle_minutes) == (8091, "127.0.0.1", 5)


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wardround coordinator init"):
        coordinator_app(tmp_path)


def test_databases_are_whole_files_once_the_pages_have_ended(folder: Path) -> None:
    app = coordinator_app(folder)
    with TestClient(app, base_url="http://127.0.0.1:8091") as somebody:
        assert somebody.get("/login").status_code == 200
        assert app.state.office.store.runs()
        assert app.state.web.people.accounts()
        assert list(folder.glob("*.db-wal"))
    assert not list(folder.glob("*.db-wal"))
