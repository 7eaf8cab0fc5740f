"""A check of models in MLflow, which refuses those that could run code when they are loaded.

MLflow imports any module that an MLmodel file names, and puts a model's own code on the path. Several of its flavours
unpickle. Without this check, anyone who can write to the store could run code by `make serve`.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

_FLAVOURS: dict[str, dict[str, Any]] = {  # None: any value
    "python_function": {"loader_module": "mlflow.keras", "env": None, "python_version": None},
    "keras": {"data": "data", "save_exported_model": False, "keras_version": None, "keras_backend": None},
}
_DESCRIPTION = "MLmodel"
_CONFIG = "config.json"
_MAX_CONFIG_BYTES = 1 << 20  # this project's configurations have a few thousand bytes
# Layers that can contain arbitrary code.
_CODE = {"Lambda", "__lambda__", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper"}


class CodeError(ValueError):
    """A model that could run code when it is loaded."""


def check_model(folder: Path) -> None:
    """Refuse a model that has more than Keras's or this package's layers. Nothing of it is loaded.

    Args:
        folder: Folder of the model's files, as MLflow downloads them.

    Raises:
        CodeError: It has more, or its description can't be read.
    """
    from mlflow.models import Model

    flavours = Model.load(str(folder / _DESCRIPTION)).flavors
    for flavour, fields in flavours.items():
        if flavour not in _FLAVOURS:
            raise CodeError(f"its {_DESCRIPTION} has the flavour {flavour}, which may run code")
        _check_fields(flavour, fields)
    if absent := _FLAVOURS.keys() - flavours:
        raise CodeError(f"its {_DESCRIPTION} has no flavour {', '.join(absent)}")
    _check_layers(folder / "data" / "model.keras")


def _check_fields(flavour: str, fields: dict[str, Any]) -> None:
    allowed = _FLAVOURS[flavour]
    for key, value in fields.items():
        if key not in allowed and value is not None:
            raise CodeError(f"its {_DESCRIPTION} has {flavour}.{key} = {value!r}, which may run code")
    for key, wanted in allowed.items():
        if wanted is not None and fields.get(key) != wanted:
            raise CodeError(f"its {_DESCRIPTION} has {flavour}.{key} = {fields.get(key)!r}, not {wanted!r}")


def _check_layers(path: Path) -> None:
    """Check every class and function that the description of the layers in a .keras file names, at whatever depth."""
    parts: list[dict[str, Any]] = []

    def keep(part: dict[str, Any]) -> dict[str, Any]:
        parts.append(part)
        return part

    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(_CONFIG).file_size > _MAX_CONFIG_BYTES:
            raise CodeError(f"the {_CONFIG} in its {path.name} has more than {_MAX_CONFIG_BYTES:,} bytes")
        json.loads(archive.read(_CONFIG), object_hook=keep)
    for part in filter(lambda part: "class_name" in part, reversed(parts)):  # outermost first
        name, module, registered = part["class_name"], part.get("module"), part.get("registered_name")
        is_ours = str(registered).startswith("seqmnist>")
        is_keras = module in {None, "builtins", "keras"} or str(module).startswith("keras.")
        if name in _CODE or not (is_ours or is_keras):
            reason = "which may run code, and is no layer of Keras's or this package's"
            raise CodeError(f"it has a {module}.{name}, {reason}")
