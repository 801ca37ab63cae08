"""Whether a version may go into production: compare, decide, prove."""
