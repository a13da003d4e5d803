"""`python -m seqscale` is the command `seqscale`."""

import sys

from seqscale.commands.main import main

sys.exit(main())
