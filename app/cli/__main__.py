"""`python -m app.cli`, where the `kdlab` script is not installed."""

import sys

from app.cli import main

sys.exit(main())
