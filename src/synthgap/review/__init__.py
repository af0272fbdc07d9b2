"""Review: a local web app over a run. It shows the worst classes, writes what a person decides, and redraws.

The decisions are ``RUN/refined/adjustments.yaml``, the file that `synthgap refine` reads.
"""
