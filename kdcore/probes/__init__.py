"""One file per probe: what was recorded -> a small frozen result in named units. Numpy only, and pure.

Shapes: N probe rows, C classes, S reported steps, T loss terms, an R x R plane. The first line of a probe's
docstring is the caption people read beside its panel.
"""
