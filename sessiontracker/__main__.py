"""``python -m sessiontracker``: the same as the ``sessiontracker`` command."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
