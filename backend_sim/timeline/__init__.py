"""What a recorded window shows: tracks, traces, the decision log and a report's details."""
