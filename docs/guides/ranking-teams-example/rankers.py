"""Small rankers: logistic regression, boosted trees and a network that reads vectors and codes."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Floats = NDArray[np.float64]


def logistic(
    train: pd.DataFrame, label: NDArray[np.bool_], test: pd.DataFrame, seed: int
) -> Floats:
    """Return scores of the rows of ``test``."""
    ranker = LogisticRegression(C=0.1, max_iter=300, random_state=seed)
    model = make_pipeline(*_scaling(), ranker)
    scores: Floats = model.fit(train, label).decision_function(test)
    return scores


def boosted_trees(
    train: pd.DataFrame, label: NDArray[np.bool_], test: pd.DataFrame, seed: int
) -> Floats:
    """Return scores of the rows of ``test``."""
    model = HistGradientBoostingClassifier(
        learning_rate=0.08,
        max_iter=150,
        max_leaf_nodes=16,
        min_samples_leaf=100,
        max_features=0.3,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=seed,
    )
    scores: Floats = model.fit(train, label).decision_function(test)
    return scores


def scaled(train: pd.DataFrame, test: pd.DataFrame) -> tuple[NDArray[np.float32], ...]:
    """Return both without scale and without NaN, as the training part has them."""
    model = make_pipeline(*_scaling())
    return tuple(
        part.astype(np.float32) for part in (model.fit_transform(train), model.transform(test))
    )


def _scaling() -> tuple[StandardScaler, SimpleImputer]:
    # After scaling: what is not known is the mean, and has a column that says so.
    return StandardScaler(), SimpleImputer(strategy="constant", fill_value=0.0, add_indicator=True)
