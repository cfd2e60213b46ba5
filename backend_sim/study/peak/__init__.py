"""Peak search: the largest load at which every tenant still meets its percentile."""
