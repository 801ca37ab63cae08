"""What ships in a model artifact, and what packs it."""
