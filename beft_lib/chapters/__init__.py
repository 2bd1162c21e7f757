"""A package a notebook, all with the same doors.

    plan       which runs the notebook needs, from its parameters; no torch
    tables     from stored runs to tables and sentences
    figures    from stored runs to figures
    claims     what the paper claims there, and what decides it

    quickstart/ (with `tune` and `select`)   bias_selection/   glue_regimes/   efficiency/   extension/
    autoregressive/   why_b_v/

and what they share:

    plans, registry           parts of plans; every notebook's plan by its name
    cells, cost_table         cells and tables of several chapters
    style, names              colours and the look of figures; how approaches are called
    paper                     the paper's numbers: a yardstick, so nothing below may read it
    before_tuning             what is measured of a model without a run
    ledger                    every claim, chapter by chapter
"""
