#!/bin/sh
# properties = {properties}
# Snakemake's own script of a job, but that it leaves its exit status for status.sh.
left=$PWD/results/logs/slurm/$SLURM_JOB_ID.exit
rm -f "$left"
trap 'echo "$?" > "$left.part" && mv "$left.part" "$left"' EXIT
{exec_job}
