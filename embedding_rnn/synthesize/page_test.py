import json
import shutil
import urllib.parse

import matplotlib.image
import numpy as np
import pytest
import soundfile
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from embedding_rnn.synthesize import page
from embedding_rnn.utils import cli

_CHROMIUM, _DRIVER = shutil.which('chromium'), shutil.which('chromedriver')
_HOSTILE = '</h4><script>alert(1)</script> "A" & \'B\' ${x} $title é#?%20'
_COMMAND = f"synthesize.py --seed=1 --title='{_HOSTILE}'"
_HOSTILE_FILE = 'a <b> "c" & \'d\' é#1?x=%20;:.'
_METRICS = [
  {'model': 'VAE <i>', 'MSE': 1.25, 'active units': 21},
  {'model': 'mean & frame', 'MSE': 3.5, 'active units': None},
]
_WAITING_SECONDS = 60  # for a browser on a busy machine


def make_note(folder, name, pitch, family, mse=None, **changes):
  """The record of a note of two sounds of different lengths, and a figure."""
  audio, rng = {}, np.random.default_rng(pitch)
  for i, label in enumerate(('original', 'mix 0.5')):
    file = f'{name}_{i}.wav'
    sound = 0.1 * rng.standard_normal(16000 * (i + 2) + 100 * pitch)
    soundfile.write(folder / file, sound, 16000, subtype='PCM_16')
    audio[label] = {'file': file, 'gain_db': 0.0}
  image = f'{name}.png'
  matplotlib.image.imsave(folder / image, rng.random((200 + pitch, 300)))
  note = {
    'section': 'reconstruction',
    'name': name,
    'title': f'Title of {name}',
    'family': family,
    'pitch': pitch,
    'audio': audio,
    'figures': {'spectrogram': image},
  }
  return note | ({} if mse is None else {'mse': mse}) | changes


def make_summary(*notes, **settings):
  return {**settings, 'overviews': {}, 'notes': notes}


@pytest.fixture(scope='module')
def shown(tmp_path_factory):
  """A page with its folder and summary, of which some names are hostile."""
  folder = tmp_path_factory.mktemp('a page, "é" & #1')
  hostile = make_note(
    folder,
    _HOSTILE_FILE,
    61,
    'synth_lead',
    mse=0.5,
    title=_HOSTILE,
    section=_HOSTILE,
  )
  original, mix = hostile['audio'].values()
  hostile['audio'] = {_HOSTILE: original, 'mix_0.50': mix}
  summary = make_summary(
    make_note(folder, 'low', 40, 'bass', mse=2.0),
    make_note(folder, 'middle', 60, 'string', mse=10.0),
    make_note(folder, 'high', 90, 'string', mse=3.0),
    make_note(folder, 'new', 60, None, section='sample'),
    hostile,
    **{'run': _HOSTILE, 'codec': _HOSTILE, _HOSTILE: [_HOSTILE]},
    seed=1,
    temperature=0.00001,
  )
  summary['overviews'] = {_HOSTILE: hostile['figures']['spectrogram']}
  return page.write(folder, summary, _COMMAND, _METRICS, _HOSTILE), summary


@pytest.fixture(scope='module')
def chromium(tmp_path_factory):
  """Chromium, without a window and a network."""
  if not _CHROMIUM or not _DRIVER:
    pytest.skip('needs chromium and chromedriver (Debian: chromium-driver)')
  options = webdriver.ChromeOptions()
  options.binary_location = _CHROMIUM
  for argument in (
    'autoplay-policy=no-user-gesture-required',
    'disable-background-networking',
    'disable-component-update',
    'disable-gpu',
    'disable-quic',
    'disable-sync',
    'force-prefers-reduced-motion',
    'headless',
    'mute-audio',
    'no-first-run',
    'no-sandbox',  # which root cannot have
    f'user-data-dir={tmp_path_factory.mktemp("chromium")}',
    'window-size=1400,1000',
  ):
    options.add_argument(f'--{argument}')
  options.set_capability(
    'goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'}
  )
  service = webdriver.ChromeService(_DRIVER)
  with webdriver.Chrome(options, service) as driver:
    yield driver


@pytest.fixture
def browser(chromium, shown):
  """Chromium with the page, just opened."""
  chromium.get(shown[0].as_uri())
  return chromium


def wait(browser, script, *arguments):
  """Waits until a script returns something true, and returns that."""
  return WebDriverWait(browser, _WAITING_SECONDS, 0.05).until(
    lambda driver: driver.execute_script(script, *arguments)
  )


def visible_notes(browser):
  return [
    note.get_attribute('id').removeprefix('note-')
    for note in browser.find_elements(By.CSS_SELECTOR, '.note')
    if note.is_displayed()
  ]


def fill_in(browser, name, text):
  """Types into a field; in a list, that chooses what begins so."""
  browser.find_element(By.NAME, name).send_keys(text)


def test_every_sound_loads_when_it_is_in_sight(browser, shown):
  durations = {}
  for note in browser.find_elements(By.CSS_SELECTOR, '.note'):
    browser.execute_script('arguments[0].scrollIntoView()', note)
    durations |= wait(
      browser,
      """const sounds = [...arguments[0].querySelectorAll('audio')];
      return sounds.every((sound) => sound.readyState) && Object.fromEntries(
        sounds.map((sound) => [sound.currentSrc, sound.duration]));""",
      note,
    )
  assert len(durations) == 2 * len(shown[1]['notes'])
  for url, seconds in durations.items():
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    assert seconds == pytest.approx(soundfile.info(path).duration, abs=1e-3)


def test_images_are_visible_and_keep_their_place(browser):
  for image in browser.find_elements(By.CSS_SELECTOR, '.figures img'):
    browser.execute_script('arguments[0].scrollIntoView()', image)
    wait(browser, 'return arguments[0].complete', image)
    path = urllib.parse.urlsplit(image.get_property('src')).path
    pixels = matplotlib.image.imread(urllib.parse.unquote(path))
    size = [
      image.get_property(f'natural{side}') for side in ('Height', 'Width')
    ]
    assert size == list(pixels.shape[:2])
    assert size == [
      int(image.get_dom_attribute(s)) for s in ('height', 'width')
    ]
    assert image.is_displayed()
    assert image.size['width'] > 200
    assert image.get_property('alt')


def test_needs_no_network_and_says_nothing_to_the_console(browser):
  browser.get_log('performance')
  browser.get_log('browser')
  browser.refresh()
  for note in browser.find_elements(By.CSS_SELECTOR, '.note'):
    browser.execute_script('arguments[0].scrollIntoView()', note)
    wait(browser, 'return arguments[0].querySelector("audio").readyState', note)
  events = [
    json.loads(entry['message'])['message']
    for entry in browser.get_log('performance')
  ]
  urls = [
    event['params']['request']['url']
    for event in events
    if event['method'] == 'Network.requestWillBeSent'
  ]
  assert len(urls) > 10
  assert {urllib.parse.urlsplit(url).scheme for url in urls} <= {'file', 'data'}
  assert not browser.get_log('browser')


@pytest.mark.parametrize(
  ('choices', 'expected'),
  [
    ({}, ['low', 'middle', 'high', 'new', _HOSTILE_FILE]),
    ({'family': 'string'}, ['middle', 'high']),
    ({'low': 'C♯4'}, ['high', _HOSTILE_FILE]),
    ({'high': 'C4'}, ['low', 'middle', 'new']),
    ({'low': 'C4', 'high': 'C♯', 'family': 'string'}, ['middle']),
    ({'text': 'TITLE c4'}, ['middle', 'new']),
    ({'text': 'c#4 synth lead'}, [_HOSTILE_FILE]),
    ({'text': 'c♯4'}, [_HOSTILE_FILE]),
    ({'text': 'no such note'}, []),
  ],
)
def test_filters(browser, choices, expected):
  for name, value in choices.items():
    fill_in(browser, name, value)
  assert visible_notes(browser) == expected
  count = browser.find_element(By.NAME, 'count').text
  assert count.startswith(f'{len(expected)} of 5 notes')
  headings = browser.find_elements(By.CSS_SELECTOR, '.notes h3')
  assert sum(h.is_displayed() for h in headings) <= len(expected)
  browser.find_element(By.CSS_SELECTOR, '[type=reset]').click()
  # The page hears of it only after the fields are empty.
  wait(browser, "return document.querySelectorAll('.note[hidden]').length == 0")
  assert len(visible_notes(browser)) == 5


def test_sorts_within_sections(browser):
  rest = ['new', _HOSTILE_FILE]
  fill_in(browser, 'key', 'MSE')
  assert visible_notes(browser) == ['low', 'high', 'middle', *rest]
  browser.find_element(By.NAME, 'descending').click()
  assert visible_notes(browser) == ['middle', 'high', 'low', *rest]
  fill_in(browser, 'key', 'pitch')
  assert visible_notes(browser) == ['high', 'middle', 'low', *rest]
  browser.find_element(By.CSS_SELECTOR, '[type=reset]').click()
  order = ['low', 'middle', 'high', *rest]
  # The page hears of it only after the fields are empty.
  WebDriverWait(browser, _WAITING_SECONDS, 0.05).until(
    lambda driver: visible_notes(driver) == order
  )


def test_plays_one_sound_at_a_time(browser):
  playing = """return [...document.querySelectorAll('audio')].flatMap(
    (sound, i) => sound.paused || !sound.currentTime ? [] : [i])"""
  buttons = browser.find_elements(By.CSS_SELECTOR, '.player button')
  bar = browser.find_element(By.ID, 'playing')
  assert not bar.is_displayed()
  buttons[0].send_keys(Keys.SPACE)
  assert wait(browser, playing) == [0]
  browser.execute_script('arguments[0].scrollIntoView()', buttons[3])
  buttons[3].click()
  # The first may sound until the next has begun; both never do.
  started = "return document.querySelectorAll('audio')[3].currentTime > 0"
  wait(browser, started)
  assert browser.execute_script(playing) == [3]
  states = [button.get_attribute('aria-pressed') for button in buttons]
  assert states == ['true' if i == 3 else 'false' for i in range(10)]
  assert bar.find_element(By.TAG_NAME, 'a').text == (
    'Title of middle, string, C4 (60): mix 0.5'
  )
  bar.find_element(By.TAG_NAME, 'button').click()
  assert browser.execute_script(playing) == []


def test_gives_up_sounds_out_of_sight_and_loads_them_again(browser):
  loaded = """return [...document.querySelectorAll('audio')].filter(
    (sound) => sound.readyState ||
      sound.networkState > HTMLMediaElement.NETWORK_IDLE).length"""
  wait(browser, loaded)
  fill_in(browser, 'text', 'no such note')
  assert wait(browser, loaded.replace('length', 'length === 0'))
  browser.find_element(By.CSS_SELECTOR, '[type=reset]').click()
  assert wait(browser, loaded)


def test_a_sound_that_is_gone_is_shown_as_such(browser, shown):
  path, summary = shown
  file = path.with_name(summary['notes'][0]['audio']['original']['file'])
  hidden = file.rename(file.with_suffix('.hidden'))
  try:
    browser.refresh()
    note = browser.find_element(By.CLASS_NAME, 'note')
    browser.execute_script('arguments[0].scrollIntoView()', note)
    wait(browser, "return document.querySelector('.broken')")
    broken = browser.find_elements(By.CLASS_NAME, 'broken')
    assert [button.text for button in broken] == ['original']
    assert broken[0].get_attribute('title').endswith(file.name)
  finally:
    hidden.rename(file)


def test_shows_the_table_of_metrics(browser):
  table = browser.find_element(By.TAG_NAME, 'table')
  heads, _, *rows = cli.format_table(_METRICS).splitlines()
  expected = '\n'.join([heads, *rows]).split()
  assert table.text.split() == expected


def test_hostile_names_are_only_text(browser):
  texts = browser.execute_script(
    """return [...document.querySelectorAll(
      'title, h1, h3, h4, p, pre, dt, dd, figcaption, .player button')
    ].map((element) => element.textContent)"""
  )
  assert texts.count(_HOSTILE) == 8
  assert _COMMAND in texts
  assert {'1e-05', str([_HOSTILE])} <= set(texts)
  scripts = 'return document.scripts.length + document.images.length'
  assert browser.execute_script(scripts) == 2 + 6 + 1


def test_a_figure_can_be_enlarged(browser):
  figure = browser.find_element(By.CSS_SELECTOR, '.note img')
  browser.execute_script('arguments[0].scrollIntoView()', figure)
  figure.click()
  dialog = browser.find_element(By.TAG_NAME, 'dialog')
  image = dialog.find_element(By.TAG_NAME, 'img')
  wait(browser, 'return arguments[0].naturalWidth', image)
  assert image.get_property('src') == figure.get_property('src')
  assert image.is_displayed()
  dialog.find_element(By.TAG_NAME, 'button').send_keys(Keys.ESCAPE)
  assert not dialog.is_displayed()


@pytest.mark.parametrize('width', [360, 1400])
def test_fits_a_screen(browser, width):
  size = {'width': width, 'height': 800, 'deviceScaleFactor': 1, 'mobile': True}
  browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
  try:
    needed = 'return document.documentElement.scrollWidth'
    assert browser.execute_script(needed) <= width
  finally:
    browser.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})


def test_can_be_used_without_scripts(browser):
  switch = 'Emulation.setScriptExecutionDisabled'
  browser.execute_cdp_cmd(switch, {'value': True})
  try:
    browser.refresh()
    sounds = browser.find_elements(By.TAG_NAME, 'audio')
    assert all(sound.is_displayed() for sound in sounds)
    assert not browser.find_element(By.TAG_NAME, 'form').is_displayed()
    assert len(visible_notes(browser)) == 5
  finally:
    browser.execute_cdp_cmd(switch, {'value': False})


def test_a_page_may_have_nothing_but_a_note(tmp_path):
  note = bare_note('n') | {'pitch': np.int64(60)}
  html = page.write(tmp_path, make_summary(note), 'command').read_text()
  assert 'C4 (60)' in html
  for absent in ('<table', '<audio', '<figure', 'href="#metrics"'):
    assert absent not in html


def bare_note(name):
  note = {'section': 'sample', 'name': name, 'title': 'A note', 'pitch': 60}
  return note | {'family': None, 'audio': {}, 'figures': {}}


def test_pitches_have_names():
  assert page.pitch_name(60) == 'C4 (60)'
  assert page.pitch_name(21) == 'A0 (21)'
  assert page.pitch_name(70) == 'A♯4 (70)'


@pytest.mark.parametrize(
  ('change', 'error', 'message'),
  [
    ({'audio': {'x': {'file': 'no.wav'}}}, FileNotFoundError, 'no.wav'),
    ({'audio': {'x': {'file': '../a.wav'}}}, ValueError, 'its own folder'),
    ({'audio': {'x': {'file': '/a.wav'}}}, ValueError, 'its own folder'),
    ({'figures': {'x': 'no.png'}}, FileNotFoundError, 'no.png'),
    ({'figures': {'x': 'n_0.wav'}}, ValueError, 'not a .png'),
    ({'figures': {'x': 'cut.png'}}, ValueError, 'not a .png'),
    ({'figures': {'x': 'empty.png'}}, ValueError, 'not a .png'),
    ({'name': 'same'}, ValueError, "2 notes are called 'same'"),
  ],
)
def test_refuses_what_it_cannot_show(tmp_path, change, error, message):
  note = make_note(tmp_path, 'n', 60, None) | change
  whole = (tmp_path / 'n.png').read_bytes()
  (tmp_path / 'cut.png').write_bytes(whole[:30])
  (tmp_path / 'empty.png').touch()
  with pytest.raises(error, match=message):
    page.write(tmp_path, make_summary(bare_note('same'), note), 'command')
  assert not (tmp_path / page.FILE_NAME).exists()
