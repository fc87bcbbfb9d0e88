import base64
import io
import json
import re
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

_HOSTILE = '</h4><script>alert(1)</script> "A" & \'B\' ${x} $title é#?%20'
_COMMAND = f"synthesize.py --seed=1 --title='{_HOSTILE}'"
_HOSTILE_FILE = 'a <b> "c" & \'d\' é#1?x=%20;:.'
_METRICS = [
  {'model': 'VAE <i>', 'MSE': 1.25, 'active units': 21},
  {'model': 'mean & frame', 'MSE': 3.5, 'active units': None},
]
_NOTES = [
  *('low', 'middle', 'high', 'sample_0', _HOSTILE_FILE),
  *('interpolation_0', 'sweep_0'),
]
_WAITING_SECONDS = 60  # for a browser on a busy machine


def make_note(folder, name, pitch, family, mse=None, seconds=4, **changes):
  """The record of a note of two tones of different lengths, and a figure.

  The original has 10 Hz times the pitch, what was made of it 20.
  """
  audio, rng = {}, np.random.default_rng(pitch)
  for i, label in enumerate(('original', 'made', 'mix_0.50')):
    file = f'{name}_{i}.wav'
    time = np.arange(16000 * (seconds - i) + 100 * pitch) / 16000
    sound = 0.1 * np.sin(2 * np.pi * 10 * (i + 1) * pitch * time)
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


def make_row(folder, section, pitches, **changes):
  """The records of notes that share a player."""
  notes = []
  for i, pitch in enumerate(pitches):
    note = make_note(
      folder, f'{section}_{i}', pitch, None, section=section, seconds=9
    )
    if section == 'interpolation':
      note['fraction'] = i / (len(pitches) - 1)
    notes.append(note | changes | {'audio': {'made': note['audio']['made']}})
  return notes


def make_summary(*notes, **settings):
  return {**settings, 'overviews': {}, 'notes': notes}


@pytest.fixture(scope='module')
def shown(tmp_path_factory):
  """A page with its folder and summary, of which some names are hostile."""
  folder = tmp_path_factory.mktemp('a page, "é" & #1')
  changes = {'title': _HOSTILE, 'section': _HOSTILE}
  hostile = make_note(folder, _HOSTILE_FILE, 61, 'synth_lead', 0.5, **changes)
  *_, mix = hostile['audio'].values()
  hostile['audio'][_HOSTILE] = mix
  summary = make_summary(
    # Long enough for a browser that has to wait for the processor.
    make_note(folder, 'low', 40, 'bass', mse=2.0, seconds=40),
    make_note(folder, 'middle', 60, 'string', mse=10.0),
    make_note(folder, 'high', 90, 'string', mse=3.0),
    *make_row(folder, 'sample', (60,)),
    hostile,
    *make_row(folder, 'interpolation', (50, 51, 52), ends=['Koto', 'Oboe']),
    *make_row(folder, 'sweep', (60, 61, 72), instrument='Koto'),
    **{'run': _HOSTILE, 'codec': _HOSTILE, _HOSTILE: [_HOSTILE]},
    seed=1,
    temperature=0.00001,
  )
  summary['overviews'] = {_HOSTILE: hostile['figures']['spectrogram']}
  return page.write(folder, summary, _COMMAND, _METRICS, _HOSTILE), summary


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


def open_all(browser):
  browser.execute_script(
    "document.querySelectorAll('details').forEach((each) => each.open = true)"
  )


def listen(browser):
  """Puts an ear where all sound goes through."""
  browser.execute_script("""
    const connect = AudioNode.prototype.connect;
    AudioNode.prototype.connect = function(target, ...others) {
      if (target === this.context.destination) {
        window.ear ??= new AnalyserNode(
          this.context, {fftSize: 8192, smoothingTimeConstant: 0});
        connect.call(this, window.ear);
      }
      return connect.call(this, target, ...others);
    };""")


def heard(browser):
  """The levels in dB of all frequencies, every so many Hz."""
  levels, width = browser.execute_script("""
    if (!window.ear) return [[-200], 1];
    const levels = new Float32Array(ear.frequencyBinCount);
    ear.getFloatFrequencyData(levels);
    return [[...levels].map((x) => Math.max(x, -200)),
      ear.context.sampleRate / ear.fftSize];""")
  return np.array(levels, float), width


def wait_to_hear(browser, hz):
  """Waits until a tone is the loudest that is heard."""

  def is_heard(_):
    levels, width = heard(browser)
    return levels.max() > -60 and abs(levels.argmax() * width - hz) < 2 * width

  WebDriverWait(browser, _WAITING_SECONDS, 0.05).until(is_heard)


def press(browser, *keys):
  browser.find_element(By.TAG_NAME, 'body').send_keys(*keys)


def state(browser, name):
  """Of a note: whether it plays, where in seconds, and the gains."""
  return browser.execute_script(
    """const note = document.getElementById('note-' + arguments[0]);
    const get = (selector, name) =>
      note.querySelector(selector).getAttribute(name);
    return [get('.play', 'aria-pressed') === 'true',
      Number(get('.view', 'aria-valuenow')),
      [...note.querySelectorAll('.picture')].map(
        (each) => Number(each.style.getPropertyValue('--gain')))]""",
    name,
  )


def card(browser, name):
  return browser.find_element(By.ID, f'note-{name}')


def test_the_page_holds_its_sounds_without_loss(browser, shown):
  path, summary = shown
  encoded = browser.execute_script(
    "return JSON.parse(document.getElementById('sounds').textContent)"
  )
  files = {
    note['audio'][key]['file']
    for note in summary['notes']
    for key in ('original', 'made')
    if key in note['audio']
  }
  assert set(encoded) == files
  for file, flac in encoded.items():
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(flac)))
    expected, expected_rate = soundfile.read(path.with_name(file))
    np.testing.assert_array_equal(sound, expected)
    assert rate == expected_rate


def test_all_files_can_be_downloaded(browser, shown):
  open_all(browser)
  links = browser.find_elements(By.CSS_SELECTOR, '.links a')
  files = [
    urllib.parse.unquote(link.get_property('href').rpartition('/')[2])
    for link in links
  ]
  assert sorted(files) == sorted(
    audio['file']
    for note in shown[1]['notes']
    for audio in note['audio'].values()
  )
  assert all(link.text for link in links)


def test_images_are_visible_and_keep_their_place(browser):
  open_all(browser)
  for image in browser.find_elements(By.CSS_SELECTOR, '.figures img'):
    browser.execute_script('arguments[0].scrollIntoView()', image)
    wait(browser, 'return arguments[0].complete', image)
    path = urllib.parse.urlsplit(image.get_property('src')).path
    pixels = matplotlib.image.imread(urllib.parse.unquote(path))
    for side, length in zip(('height', 'width'), pixels.shape, strict=False):
      assert image.get_property(f'natural{side.title()}') == length
      assert int(image.get_dom_attribute(side)) == length
    assert image.is_displayed()
    assert image.size['width'] > 200
    assert image.get_property('alt')


def test_needs_no_network_and_says_nothing_to_the_console(browser):
  browser.get_log('performance')
  browser.get_log('browser')
  browser.refresh()
  open_all(browser)
  for image in browser.find_elements(By.CSS_SELECTOR, '.figures img'):
    browser.execute_script('arguments[0].scrollIntoView()', image)
    wait(browser, 'return arguments[0].complete', image)
  press(browser, ' ')
  wait(browser, "return document.querySelector('.play[aria-pressed=true]')")
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


def test_a_and_b_switch_without_losing_the_place(browser):
  listen(browser)
  press(browser, ' ')
  wait_to_hear(browser, 400)
  is_playing, before, gains = state(browser, 'low')
  assert is_playing and gains == [1, 0]
  press(browser, 'b')
  wait_to_hear(browser, 800)
  is_playing, after, gains = state(browser, 'low')
  assert is_playing and gains == [0, 1]
  assert before < after < 40
  press(browser, 'A')
  wait_to_hear(browser, 400)
  assert state(browser, 'low')[1] > after
  press(browser, ' ')
  is_playing, place, _ = state(browser, 'low')
  assert not is_playing and place > after
  card(browser, 'low').find_element(By.CLASS_NAME, 'play').click()
  wait_to_hear(browser, 400)
  assert state(browser, 'low')[1] >= place


def test_the_slider_mixes(browser):
  listen(browser)
  slider = card(browser, 'low').find_element(By.CSS_SELECTOR, '[type=range]')
  browser.execute_script(
    """arguments[0].value = 0.5;
    arguments[0].dispatchEvent(new Event('input', {bubbles: true}))""",
    slider,
  )
  press(browser, ' ')
  wait(browser, 'return Boolean(window.ear)')

  def is_mixed(_):
    levels, width = heard(browser)
    both = [
      levels[round(hz / width) + np.arange(-2, 3)].max() for hz in (400, 800)
    ]
    return min(both) > -50 and abs(both[0] - both[1]) < 2

  WebDriverWait(browser, _WAITING_SECONDS, 0.05).until(is_mixed)
  assert state(browser, 'low')[2] == [0.5, 0.5]
  pressed = card(browser, 'low').find_elements(
    By.CSS_SELECTOR, '.switch [aria-pressed=true]'
  )
  assert not pressed


def test_arrows_walk_and_one_sound_plays_at_a_time(browser):
  listen(browser)
  press(browser, ' ')
  wait_to_hear(browser, 400)
  press(browser, Keys.ARROW_RIGHT)
  wait_to_hear(browser, 600)
  assert not state(browser, 'low')[0] and state(browser, 'middle')[0]
  current = browser.find_elements(By.CSS_SELECTOR, '.note.current')
  assert [note.get_attribute('id') for note in current] == ['note-middle']
  press(browser, *4 * [Keys.ARROW_LEFT])
  wait_to_hear(browser, 400)
  playing = '.play[aria-pressed=true]'
  assert len(browser.find_elements(By.CSS_SELECTOR, playing)) == 1


def test_what_is_typed_is_no_command(browser):
  open_all(browser)
  fill_in(browser, 'text', 'low b ')
  assert not browser.find_elements(By.CSS_SELECTOR, '.note.current')


def test_the_playhead_can_be_dragged(browser):
  view = card(browser, 'middle').find_element(By.CLASS_NAME, 'view')
  browser.execute_script('arguments[0].scrollIntoView()', view)
  width = view.size['width']
  seconds = 4 + 6000 / 16000
  actions = webdriver.ActionChains(browser)
  actions.move_to_element(view).click_and_hold()
  actions.move_by_offset(width // 4, 0).release().perform()
  _, place, gains = state(browser, 'middle')
  assert place == pytest.approx(0.75 * seconds, abs=0.05)
  assert gains == [0, 1]  # the middle is in the second spectrogram
  view.send_keys(Keys.ARROW_LEFT)
  assert state(browser, 'middle')[1] == pytest.approx(place - 0.1)


def test_steps_between_notes_are_one_row_with_a_slider(browser):
  name = 'interpolation_0'
  rows = browser.find_elements(By.CSS_SELECTOR, '[id^=note-interpolation]')
  assert [row.get_attribute('id') for row in rows] == [f'note-{name}']
  assert rows[0].find_element(By.TAG_NAME, 'h3').text == 'Koto to Oboe · D3'
  slider = rows[0].find_element(By.CSS_SELECTOR, '[type=range]')
  assert slider.get_attribute('max') == '2'
  browser.execute_script(
    """arguments[0].value = 1.25;
    arguments[0].dispatchEvent(new Event('input', {bubbles: true}))""",
    slider,
  )
  assert state(browser, name)[2] == [0, 0.75, 0.25]
  press(browser, 'b')
  assert state(browser, name)[2] == [0, 0, 1]


def test_a_sweep_is_a_keyboard(browser):
  listen(browser)
  keys = card(browser, 'sweep_0').find_elements(By.CSS_SELECTOR, '.keys button')
  assert [key.text for key in keys] == ['C4', 'C♯4', 'C5']
  browser.execute_script('arguments[0].scrollIntoView()', keys[1])
  keys[1].click()
  wait_to_hear(browser, 1220)
  keys[2].click()
  wait_to_hear(browser, 1440)
  states = [key.get_attribute('aria-pressed') for key in keys]
  assert states == ['false', 'false', 'true']


@pytest.mark.parametrize(
  ('choices', 'expected'),
  [
    ({}, _NOTES),
    ({'family': 'string'}, ['middle', 'high']),
    ({'low': 'C♯4'}, ['high', _HOSTILE_FILE, 'sweep_0']),
    ({'high': 'D3'}, ['low', 'interpolation_0']),
    ({'low': 'C4', 'high': 'C♯', 'family': 'string'}, ['middle']),
    ({'text': 'TITLE c4'}, ['middle', 'sample_0']),
    ({'text': 'koto c#4'}, ['sweep_0']),
    ({'text': 'c#4 synth lead'}, [_HOSTILE_FILE]),
    ({'text': 'c♯4'}, [_HOSTILE_FILE, 'sweep_0']),
    ({'text': 'no such note'}, []),
  ],
)
def test_filters(browser, choices, expected):
  open_all(browser)
  for name, value in choices.items():
    fill_in(browser, name, value)
  assert visible_notes(browser) == expected
  count = browser.find_element(By.NAME, 'count').text
  assert count.startswith(f'{len(expected)} of {len(_NOTES)} notes')
  headings = browser.find_elements(By.CSS_SELECTOR, '.notes h2')
  assert sum(h.is_displayed() for h in headings) <= len(expected)
  browser.find_element(By.CSS_SELECTOR, '[type=reset]').click()
  # The page hears of it only after the fields are empty.
  wait(browser, "return document.querySelectorAll('.note[hidden]').length == 0")
  assert visible_notes(browser) == _NOTES


def test_sorts_within_sections(browser):
  open_all(browser)
  rest = _NOTES[3:]
  fill_in(browser, 'key', 'MSE')
  assert visible_notes(browser) == ['low', 'high', 'middle', *rest]
  browser.find_element(By.NAME, 'descending').click()
  assert visible_notes(browser) == ['middle', 'high', 'low', *rest]
  fill_in(browser, 'key', 'pitch')
  assert visible_notes(browser) == ['high', 'middle', 'low', *rest]
  browser.find_element(By.CSS_SELECTOR, '[type=reset]').click()
  # The page hears of it only after the fields are empty.
  WebDriverWait(browser, _WAITING_SECONDS, 0.05).until(
    lambda driver: visible_notes(driver) == _NOTES
  )


def test_a_sound_that_is_damaged_is_shown_as_such(browser, shown, tmp_path):
  path = tmp_path / 'damaged.html'
  encoded = 'ZkxhQw'  # all FLAC files begin so
  path.write_text(shown[0].read_text().replace(encoded, 'AAAAAA'))
  browser.get(path.as_uri())
  press(browser, ' ')
  wait(browser, "return document.querySelector('.broken')")
  broken = browser.find_elements(By.CLASS_NAME, 'broken')
  assert [note.get_attribute('id') for note in broken] == ['note-low']
  button = broken[0].find_element(By.CLASS_NAME, 'play')
  assert 'cannot be played' in button.get_attribute('title')
  assert button.get_attribute('aria-pressed') == 'false'


def test_shows_the_table_of_metrics(browser):
  table = browser.find_element(By.TAG_NAME, 'table')
  heads, _, *rows = cli.format_table(_METRICS).splitlines()
  expected = '\n'.join([heads, *rows]).split()
  assert table.text.split() == expected


def test_hostile_names_are_only_text(browser):
  texts = browser.execute_script(
    """return [...document.querySelectorAll(
      'title, h1, h2, h3, p, pre, dt, dd, figcaption, .links a')
    ].map((element) => element.textContent)"""
  )
  assert texts.count(_HOSTILE) == 9
  assert _COMMAND in texts
  assert {'1e-05', str([_HOSTILE])} <= set(texts)
  scripts = 'return document.scripts.length + document.images.length'
  assert browser.execute_script(scripts) == 3 + 11 + 2


def test_a_figure_can_be_enlarged(browser):
  open_all(browser)
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


@pytest.fixture
def screen(browser):
  """Sets width and height of the screen, and whether it is dark."""

  def set_screen(width, height, is_dark):
    size = {'width': width, 'height': height, 'deviceScaleFactor': 1}
    size['mobile'] = width < 600
    browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
    scheme = {'name': 'prefers-color-scheme'}
    scheme['value'] = 'dark' if is_dark else 'light'
    browser.execute_cdp_cmd(
      'Emulation.setEmulatedMedia', {'features': [scheme]}
    )

  yield set_screen
  browser.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})
  browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': []})


@pytest.mark.parametrize(
  ('width', 'height'), [(360, 740), (390, 844), (1400, 900)]
)
def test_fits_a_screen_with_sound_first(browser, screen, width, height):
  screen(width, height, False)
  bottom = browser.execute_script(
    "return document.querySelector('.play').getBoundingClientRect().bottom"
  )
  assert 0 < bottom < height
  open_all(browser)
  browser.execute_script(
    """document.querySelectorAll('.note').forEach(
      (note) => { note.style.contentVisibility = 'visible'; })"""
  )
  needed = 'return document.documentElement.scrollWidth'
  assert browser.execute_script(needed) <= width
  smallest, figures = browser.execute_script(
    """const texts = [...document.querySelectorAll('body *')].filter(
      (each) => !each.matches('script') && [...each.childNodes].some(
        (node) => node.nodeType === 3 && node.textContent.trim()));
    return [
      Math.min(...texts.map((each) => parseFloat(
        getComputedStyle(each).fontSize))),
      [...document.querySelectorAll('.figures img')].map(
        (each) => each.clientWidth / each.getAttribute('width'))];"""
  )
  assert smallest >= 9
  # Figures are written in 10 points at 100 dots per inch.
  assert min(figures) * 10 * 100 / 72 > 9


def test_is_dark_where_that_is_wished(browser, screen):
  def brightness():
    colour = browser.execute_script(
      'return getComputedStyle(document.body).backgroundColor'
    )
    return np.mean([float(x) for x in re.findall(r'[\d.]+', colour)[:3]])

  def filters():
    return browser.execute_script(
      """return [...document.querySelectorAll('.figures img')].map(
        (each) => getComputedStyle(each).filter)"""
    )

  screen(1400, 900, False)
  assert brightness() > 230 and set(filters()) == {'none'}
  screen(1400, 900, True)
  assert brightness() < 40
  assert all('invert' in each for each in filters())


def test_can_be_used_without_scripts(browser):
  switch = 'Emulation.setScriptExecutionDisabled'
  browser.execute_cdp_cmd(switch, {'value': True})
  try:
    browser.refresh()
    sounds = browser.find_elements(By.TAG_NAME, 'audio')
    assert len(sounds) == 4 * 2 + 1 + 3 + 3
    assert all(sound.is_displayed() for sound in sounds)
    assert not browser.find_element(By.TAG_NAME, 'form').is_displayed()
    assert visible_notes(browser) == _NOTES
  finally:
    browser.execute_cdp_cmd(switch, {'value': False})


def test_a_page_may_have_nothing_but_a_note(tmp_path):
  note = bare_note('n') | {'pitch': np.int64(60)}
  html = page.write(tmp_path, make_summary(note), 'command').read_text()
  assert 'A note' in html and 'C4' in html
  for absent in ('<table', '<audio', '<figure', 'href="#metrics"'):
    assert absent not in html


def bare_note(name):
  note = {'section': 'sample', 'name': name, 'title': 'A note', 'pitch': 60}
  return note | {'family': None, 'audio': {}, 'figures': {}}


@pytest.mark.parametrize(
  ('change', 'error', 'message'),
  [
    ({'audio': {'x': {'file': 'no.wav'}}}, FileNotFoundError, 'no.wav'),
    ({'audio': {'x': {'file': '../a.wav'}}}, ValueError, 'its own folder'),
    ({'audio': {'x': {'file': '/a.wav'}}}, ValueError, 'its own folder'),
    ({'audio': {'made': {'file': 'n.png'}}}, OSError, 'is not a sound'),
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
