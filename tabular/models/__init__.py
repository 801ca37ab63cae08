"""Any MLflow model, loaded and asked in one way."""
