"""How well the selected features predict the labels (Table 6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from uae import seeding
from uae.errors import DataError

TREES = 50


def accuracy(
    features: ArrayLike,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike,
    y_test: ArrayLike,
    *,
    seed: int,
    one_hot: bool = False,
) -> float:
    """Test accuracy, in [0, 1], of extremely randomised trees that see only the selected features.

    This is the post-hoc evaluation of Balin et al. (2019), section 5.5. The trees are trained on the selected
    columns of the training set; a column that was selected twice appears twice.
    one_hot: fit to one-hot labels, as the public code does. A tree then chooses its splits by each class
    against the others. A sample counts as correct only if its class gets more than half of the votes, so the
    accuracy is lower.
    features: (K,) flat indices of features.  x_*: (N, *shape).  y_*: (N,) labels.
    Raises ValueError for an index that the data do not have, and for labels without a training sample.
    """
    from sklearn.ensemble import ExtraTreesClassifier  # slow to import, and rarely needed

    features, y_train, y_test = (np.asarray(array) for array in (features, y_train, y_test))
    train, test = (x.reshape(len(x), -1) for x in (np.asarray(x_train), np.asarray(x_test)))
    if bad := [int(j) for j in features if not 0 <= j < train.shape[1]]:
        raise ValueError(f"feature {bad[0]} is selected of data that have {train.shape[1]}")
    if absent := sorted(set(y_test.tolist()) - set(y_train.tolist())):
        raise DataError(
            f"class {absent[0]} is in the test set and not in the training set; with a larger train_limit it "
            "may be in both"
        )
    random_state = seeding.derive(seed, "extra-trees") % 2**32
    trees = ExtraTreesClassifier(n_estimators=TREES, random_state=random_state)
    if one_hot:
        classes = np.unique(y_train)
        y_train, y_test = (y[:, None] == classes for y in (y_train, y_test))
    trees.fit(train[:, features], y_train)
    return float(trees.score(test[:, features], y_test))
