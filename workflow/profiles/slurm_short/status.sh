#!/bin/sh
# What becomes of SLURM job $1, in the words that Snakemake's cluster-generic wants: running, success or failed.
# squeue forgets a job after MinJobAge (sacct is asked then, where there is one); a SLURM that does not answer is asked
# again at the next check.
if ! state=$(squeue --noheader --states=all --jobs="$1" --format=%T 2>&1); then
  case "$state" in *"Invalid job id"*) ;; *) echo running; exit 0 ;; esac
  state=$(sacct --noheader --allocations --jobs="$1" --format=State%20 2> /dev/null | tr -d ' ')
fi
case "$state" in
  COMPLETED) echo success ;;
  "" | BOOT_FAIL | CANCELLED* | DEADLINE | FAILED | NODE_FAIL | OUT_OF_MEMORY | PREEMPTED | REVOKED | TIMEOUT) echo failed ;;
  *) echo running ;; # PENDING, RUNNING, COMPLETING, ...
esac
