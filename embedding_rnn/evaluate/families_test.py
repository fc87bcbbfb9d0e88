"""Tests of families.py: scikit-learn has the same classifier."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from embedding_rnn.evaluate import families
from embedding_rnn.evaluate.families import FamilyClassifier

NAMES = np.array(['brass', 'flute', 'organ'])


def make_notes(num_notes=300, seed=0):
  rng = np.random.default_rng(seed)
  ids = rng.choice(3, size=num_notes, p=[0.5, 0.3, 0.2])
  centres = np.random.default_rng(1).normal(size=(3, 6))
  return centres[ids] + rng.normal(size=(num_notes, 6)), NAMES[ids]


@pytest.fixture(scope='module')
def fitted():
  return FamilyClassifier.fit(*make_notes())


def test_classifies_as_scikit_learn(fitted):
  features, names = make_notes()
  # Its own shrinkage averages over families; it takes a covariance, too.
  ids = np.searchsorted(NAMES, names)
  means = np.stack([features[ids == i].mean(axis=0) for i in range(3)])
  within = features - means[ids]
  covariance = within.T @ within / len(features)
  shrunk = 0.95 * covariance
  shrunk += 0.05 * np.trace(covariance) / 6 * np.eye(6)

  class Covariance:
    def fit(self, x):
      del x
      self.covariance_ = shrunk
      return self

  theirs = LinearDiscriminantAnalysis(
    solver='lsqr', covariance_estimator=Covariance()
  ).fit(features, names)
  unseen, wanted = make_notes(seed=2)
  np.testing.assert_array_equal(fitted(unseen), theirs.predict(unseen))
  scores = unseen @ fitted.coefficients + fitted.intercepts
  ours = scores - scores[:, :1]
  expected = theirs.decision_function(unseen)
  np.testing.assert_allclose(ours, expected - expected[:, :1], atol=1e-9)
  measured = fitted.measures(unseen, wanted)
  assert measured['family_accuracy'] == pytest.approx(
    theirs.score(unseen, wanted)
  )
  assert measured['family_accuracy'] > 0.6


def test_measures_say_it_of_each_family(fitted):
  features, names = make_notes(seed=3)
  guesses = fitted(features)
  expected = {name: np.mean(guesses[names == name] == name) for name in NAMES}
  measured = fitted.measures(features, list(names))
  assert measured['family_accuracies'] == pytest.approx(expected)
  # A family that it does not know has no say.
  others = np.concatenate([names, ['tuba'] * 9])
  more = np.concatenate([features, features[:9]])
  assert fitted.measures(more, others) == measured
  assert fitted.measures(features[:9], ['tuba'] * 9) == {}


def test_one_family_and_features_that_do_not_vary():
  fitted = families.FamilyClassifier.fit(np.zeros((4, 2)), ['organ'] * 4)
  assert fitted(np.ones((2, 2))).tolist() == ['organ'] * 2
