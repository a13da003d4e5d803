#!/usr/bin/env python
"""Audit results: is each file what was written, from the inputs, by the code and with the config on record?"""

import sys

from seqscale.audit import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
