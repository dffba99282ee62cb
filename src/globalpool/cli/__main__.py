"""``python -m globalpool.cli``."""

from globalpool.cli.main import main

raise SystemExit(main())
