"""Figures and the report: they read result tables and know neither torch nor models.

catalog     the fixed list of figures (no heavy imports; Snakemake reads it)
style       one colour, marker and dash per model, from report/style.yaml
source      the result tables, tolerant of missing ones
canvas      panels, end labels, saving: what all figures share
learning    figures about training;  scaling  figures about time, memory and FLOPs;  figures  draws them by name
svg, html   small helpers for the page;  verdicts, results, provenance  its sections;  page  what the notebook calls
publish     notebook -> papermill -> nbconvert -> one HTML file
"""
