"""MLflow's tracking server and registry: runs, trials, versions, history."""
