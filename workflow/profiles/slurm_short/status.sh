#!/bin/sh
# What becomes of SLURM job $1, in the words that Snakemake's cluster-generic wants: running, success or failed.
# squeue forgets a job after MinJobAge. sacct is asked then, where there is accounting, and else the exit status that the
# job's script left (jobscript.sh). A script that was killed left none: a job that nobody knows has failed, but only
# after a minute, in which a slow file system may show the file. A SLURM that does not answer is asked again at the next
# check.
left=results/logs/slurm/$1
if ! state=$(squeue --noheader --states=all --jobs="$1" --format=%T 2>&1); then
  case "$state" in *"Invalid job id"*) state= ;; *) echo running; exit 0 ;; esac
fi
[ -n "$state" ] || state=$(sacct --noheader --allocations --jobs="$1" --format=State%20 2> /dev/null | tr -d ' ')
if [ -n "$state" ]; then
  rm -f "$left.gone"
elif [ -f "$left.exit" ]; then
  if [ "$(cat "$left.exit")" = 0 ]; then state=COMPLETED; else state=FAILED; fi
elif [ ! -f "$left.gone" ]; then
  touch "$left.gone"
elif [ -n "$(find "$left.gone" -mmin +1)" ]; then
  state=FAILED
fi
case "$state" in
  COMPLETED) echo success ;;
  BOOT_FAIL | CANCELLED* | DEADLINE | FAILED | NODE_FAIL | OUT_OF_MEMORY | PREEMPTED | REVOKED | TIMEOUT) echo failed ;;
  *) echo running ;; # PENDING, RUNNING, COMPLETING, not known yet, ...
esac
