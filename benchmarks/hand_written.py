"""The rival in `benchmarks.serving`: a /predict as it is written by hand.

    uvicorn benchmarks.hand_written:app

It takes {"features": [5.1, 3.5, 1.4, 0.2]}, and finds scaler.joblib and model.joblib in the folder
that HAND_WRITTEN names.
"""

import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

folder = Path(os.environ["HAND_WRITTEN"])
scaler = joblib.load(folder / "scaler.joblib")
model = joblib.load(folder / "model.joblib")
app = FastAPI()


class Flower(BaseModel):
    """The body of a request."""

    features: list[float]


@app.post("/predict")
def predict(flower: Flower) -> dict[str, Any]:
    scaled = scaler.transform(np.array(flower.features).reshape(1, -1))
    return {
        "prediction": model.predict(scaled).tolist(),
        "probabilities": model.predict_proba(scaled).tolist(),
    }
