"""Reads ARM templates, and compiles Bicep files.

Facts: Azure Resource Manager template syntax.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

from pratique.errors import ConfigurationError
from pratique.named_files import located

_JSONC = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


async def load_template(path: Path) -> dict[str, Any]:
    """Read an ARM template: a ``.json`` file, with or without comments, or a ``.bicep`` file, compiled by ``bicep``.

    :raises ConfigurationError: when the file is missing, is not a template, or cannot be compiled
    """
    attempted, path = "read the template", located(path)
    try:
        text = (
            await _compile(path)
            if path.suffix == ".bicep"
            else await asyncio.to_thread(path.read_text, encoding="utf-8")
        )
        template = json.loads(_JSONC.sub(lambda match: match[0] if match[0].startswith('"') else " ", text))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigurationError(attempted, str(path), f"{error}.", "Correct the file or its path.") from None
    if not isinstance(template, dict) or "resources" not in template:
        raise ConfigurationError(attempted, str(path), "It has no resources.", "Give the path of an ARM template.")
    return template


async def _compile(path: Path) -> str:
    attempted = "compile the template"
    bicep = shutil.which("bicep") or shutil.which("bicep", path=str(Path.home() / ".azure" / "bin"))
    if bicep is None:
        raise ConfigurationError(
            attempted, str(path), "bicep is not installed on this machine.", "Install it: az bicep install"
        )
    process = await asyncio.create_subprocess_exec(
        bicep, "build", "--stdout", str(path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await process.communicate()
    if process.returncode:
        observed = errors.decode(errors="replace").strip()[-900:]
        raise ConfigurationError(attempted, str(path), observed, "Correct the file.")
    return out.decode()
