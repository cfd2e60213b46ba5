"""Results as text for a terminal: tables, notes and little bars."""
