"""A suite in one small file: its shift names domains that no package has."""

from bench.suites import Entry, Shift, Suite

TOY = Suite(
    "toy",
    "Bars in three directions, bright on dark to dark on bright.",
    (Shift("bright2dark", "toy_domain.py:BrightBars", "toy_domain.py:DarkBars", size=16),),
    (Entry("source-only", "source-only"), Entry("target-only", "target-only")),
)
