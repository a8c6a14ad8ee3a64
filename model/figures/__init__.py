"""Figures of the papers: one noun per module, each with functions that return a matplotlib `Figure`.

Nothing here opens a window: figures are made without pyplot and written by `cpt.model.figures.canvas.save`.
"""
