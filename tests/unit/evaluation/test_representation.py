"""Accuracy on selected features."""

import numpy as np
import pytest
import torch

from uae import seeding
from uae.errors import DataError
from uae.evaluation import representation

GENERATOR = np.random.default_rng(0)
# Four classes in columns 2 and 5 of eight; the others are noise.
X = GENERATOR.random((800, 2, 4), dtype=np.float32)
Y = (X[:, 0, 2] > 0.5) + 2 * (X[:, 1, 1] > 0.5)
SPLIT = (X[:500], Y[:500], X[500:], Y[500:])


def test_informative_features_tell_the_classes_and_noise_does_not():
    assert representation.accuracy([2, 5], *SPLIT, seed=0) > 0.95
    assert 0.4 < representation.accuracy([2, 7], *SPLIT, seed=0) < 0.6  # one of two bits
    noise = representation.accuracy([0, 1, 3, 4], *SPLIT, seed=0)
    assert abs(noise - 0.25) < 3 * np.sqrt(0.25 * 0.75 / 300)


def test_with_one_hot_labels_a_class_needs_more_than_half_of_the_trees_votes():
    """The forest by hand: grown for each class against the others, its leaves' shares averaged."""
    from sklearn.ensemble import ExtraTreesClassifier

    x_train, y_train, x_test, y_test = (array.reshape(len(array), -1) for array in SPLIT)
    columns, one_hot = [2, 7], np.eye(4, dtype=int)[y_train[:, 0]]
    seed = seeding.derive(3, "extra-trees") % 2**32
    forest = ExtraTreesClassifier(n_estimators=50, random_state=seed).fit(x_train[:, columns], one_hot)
    shares = np.zeros((len(x_test), 4))
    for tree in forest.estimators_:
        leaves, reached = (tree.apply(x[:, columns]) for x in (x_train, x_test))
        for leaf in np.unique(reached):
            shares[reached == leaf] += one_hot[leaves == leaf].mean(axis=0) / 50
    expected = (shares[np.arange(len(y_test)), y_test[:, 0]] > 0.5 + 1e-9).mean()  # a tie is no majority
    found = representation.accuracy(columns, *SPLIT, seed=3, one_hot=True)
    assert found == pytest.approx(expected)
    assert found < representation.accuracy(columns, *SPLIT, seed=3)
    shifted = (X[:500], Y[:500] + 7, X[500:], Y[500:] + 7)
    assert representation.accuracy(columns, *shifted, seed=3, one_hot=True) == found


def test_the_result_is_the_seed_s_alone():
    found = representation.accuracy([2, 5, 0], *SPLIT, seed=1)
    tensors = [torch.from_numpy(np.asarray(array)) for array in SPLIT]
    assert representation.accuracy(torch.tensor([2, 5, 0]), *tensors, seed=1) == found
    assert len({representation.accuracy([2, 0], *SPLIT, seed=s) for s in range(4)}) > 1


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="feature 8 is selected of data that have 8"):
        representation.accuracy([2, 8], *SPLIT, seed=0)
    with pytest.raises(ValueError, match="feature -1"):
        representation.accuracy([-1], *SPLIT, seed=0)
    missing = (X[:500], np.minimum(Y[:500], 2), X[500:], Y[500:])
    with pytest.raises(DataError, match="class 3 is in the test set"):  # shown without a traceback
        representation.accuracy([2, 5], *missing, seed=0)
