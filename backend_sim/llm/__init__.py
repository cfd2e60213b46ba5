"""Language models as tenants: the iteration loop, its paged cache and what an iteration costs."""
