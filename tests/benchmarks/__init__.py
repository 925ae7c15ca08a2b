"""What `make bench` measures: the speed that the project promises, each figure against a peer where there is one.

One module a figure; `python -m tests.benchmarks` runs them on a private stack of their own and says what holds and what does
not. A benchmark proves no correctness: that is what the other tests are for.
"""
