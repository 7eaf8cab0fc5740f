"""DVC, Hydra and MLflow in agreement."""

import sys

if sys.platform == "win32":
    sys.exit("error: accord needs Linux or macOS: on Windows, run it in WSL 2 (`wsl --install`)")
