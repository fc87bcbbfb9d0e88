from embedding_rnn.utils import settings


def test_differences():
  before = {'rate': 16_000, 'name': 'a', 'gone': 1, 'place': 'here'}
  now = {'rate': 16_000, 'name': 'b', 'new': 2.5, 'place': 'there'}
  assert settings.differences(before, now, ignored=['place']) == [
    "name was 'a', is 'b'",
    'new was None, is 2.5',
  ]
  texts = settings.differences(
    before, {'gone': None}, wording='{name} is {now!r}, not {before!r}'
  )
  assert texts == ['gone is None, not 1']
  assert not settings.differences(before, before)
