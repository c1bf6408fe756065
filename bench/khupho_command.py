"""How measurements start this project's own program: with the Python that they run on themselves."""

from __future__ import annotations

import sys

KHUPHO = [sys.executable, "-c", "from khupho.cli import main; main()"]
