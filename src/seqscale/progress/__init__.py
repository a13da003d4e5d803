"""The live view of a long run: what is running, how far it is, its loss, how long still.

`ledger` keeps the books of jobs and reads the histories that training runs write as they go; `view` shows them, as a
display that redraws itself on a terminal and as plain lines now and then in a pipe or a log. Knows nothing of
Snakemake; the plugin `snakemake_logger_plugin_seqscale` tells it what happens.
"""

from seqscale.progress.ledger import Job, Ledger
from seqscale.progress.view import make_view

__all__ = ["Job", "Ledger", "make_view"]
