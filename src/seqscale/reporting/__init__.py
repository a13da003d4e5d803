"""Figures and the report: they read result tables and know neither torch nor models.

What there is to say, as tables (the page shows no number that is not in one):
    source       the result tables, tolerant of missing ones;  summaries, contests, crossovers, cards  from them
    claims       claims, sources, counts;  published  curves that sources printed;  origins  provenance, holes, jobs
    suites       what suites measure and whom;  reruns  whether a second run stands by the first's crossovers
    comparing    this run beside another;  digest  writes all of these;  names  lists them

What is drawn, as data, and the two hands that draw it:
    chart        panels, series, dots;  catalog  the list of figures;  style  one look per model (report/style.yaml)
    learning, scaling, crossing_chart, roofline, utilisation, printed, evidence, tidy  build charts
    figures      finds the builder;  intervals  means over seeds
    draw, canvas with Matplotlib, for files and paper;  charts, svg  for the page, whose script draws with Plotly

The page:
    html, words, diagram  small pieces;  top, board, dossier, results, gallery, provenance  its sections
    page         what the notebook calls;  publish  notebook -> papermill -> nbconvert -> one HTML file
"""
