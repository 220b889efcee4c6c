"""The control plane's generated code against control.proto."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_generated_code_is_what_the_proto_file_gives(tmp_path: Path) -> None:
    outs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outs, "shared/control/control.proto"],
        cwd=ROOT,
        check=True,
    )
    made = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "shared/control").iterdir()}
    assert made.keys() == {"control_pb2.py", "control_pb2.pyi", "control_pb2_grpc.py"}
    for name, text in made.items():
        assert (ROOT / "shared/control" / name).read_text(encoding="utf-8") == text, (
            f"{name}: run `make protos`"
        )


def test_it_is_imported_without_a_warning() -> None:
    program = "import shared.control.control_pb2, shared.control.control_pb2_grpc"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
