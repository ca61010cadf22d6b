"""The release build of this checkout."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def release_build():
    subprocess.run(["cargo", "build", "--release", "--quiet", "--package", "nines"], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "nines"
