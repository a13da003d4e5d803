"""The command line: one file per subcommand, each with `add(subparsers)` and a function that does the work.

Exit status, for all: 0 done; 1 the answer is no (a check failed, a run failed, a count is wrong); 2 the request could
not be understood or met (the message says what to do); 130 interrupted. With --json, standard output is one JSON
document and nothing else.
"""
