"""The scheduler of a scenario as freestanding C99: tables, policy and machine, and what a decision costs."""
