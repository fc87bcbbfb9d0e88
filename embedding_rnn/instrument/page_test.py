"""The page of an instrument, played in Chromium."""

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from embedding_rnn.audio.codec import HarmonicCodec
from embedding_rnn.instrument import pack, page
from embedding_rnn.instrument.conftest import OneNote

# Milliseconds from a call that plays a key until there is sound.
_LATENCY = """
const done = arguments[0], begun = performance.now();
const heard = new Float32Array(probe.fftSize = 256);
play(62, 100);
(function look() {
  probe.getFloatTimeDomainData(heard);
  if (heard.some((x) => Math.abs(x) > 1e-4)) done(performance.now() - begun);
  else setTimeout(look, 0);
})();
"""


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  """A page of four sounds whose names are hostile."""
  codec, folder = HarmonicCodec(), tmp_path_factory.mktemp('an "instrument" #1')
  corners = {
    f'{family} </script><b>': list(
      pack.make_samples(OneNote(family), codec, [48, 60, 72], [100])
    )
    for family in ('string', 'reed', 'mallet', 'vocal')
  }
  return page.write_page(folder, corners, codec.sample_rate, 'A <b>sound</b>')


@pytest.fixture(scope='module')
def browser(chromium, path):
  """Chromium with the page, its sounds decoded."""
  chromium.get(path.as_uri())
  WebDriverWait(chromium, 60).until(
    lambda d: d.execute_script('return document.body.dataset.ready')
  )
  return chromium


def sounding(browser):
  return set(browser.execute_script('return [...sounding.keys()]'))


def press(browser, kind, key):
  browser.execute_script(
    'const [kind, key] = arguments;'
    'window.dispatchEvent(new KeyboardEvent(kind, {key}))',
    kind,
    key,
  )


def test_is_small_and_needs_no_network(path):
  text = path.read_text('utf-8')
  assert path.stat().st_size < 20e6
  assert 'http' not in text and '<b>sound' not in text
  assert text.count('</script>') == 1


def test_keys_of_the_computer_play_and_hold(browser):
  press(browser, 'keydown', 'a')
  press(browser, 'keydown', 'd')
  assert sounding(browser) == {48, 52}
  press(browser, 'keyup', 'a')
  assert sounding(browser) == {52}
  press(browser, 'keydown', ' ')
  press(browser, 'keyup', 'd')
  assert sounding(browser) == {52}
  press(browser, 'keydown', ' ')
  assert not sounding(browser)
  press(browser, 'keydown', 'x')
  press(browser, 'keydown', 'a')
  assert sounding(browser) == {60}
  press(browser, 'keyup', 'a')
  press(browser, 'keydown', 'z')


def test_a_click_on_a_key_is_heard_at_once(browser):
  key = browser.find_element(By.CSS_SELECTOR, '.key[data-midi="60"]')
  actions = webdriver.ActionChains(browser)
  actions.move_to_element_with_offset(key, 0, 60).click_and_hold().perform()
  assert sounding(browser) == {60}
  assert 'on' in key.get_attribute('class')
  actions.reset_actions()
  webdriver.ActionChains(browser).release().perform()
  assert not sounding(browser)
  # On a machine that has time for it, some 12 ms.
  assert browser.execute_async_script(_LATENCY) < 1000
  browser.execute_script('for (const m of [...sounding.keys()]) stop(m)')


def test_space_presses_the_button_that_has_the_focus(browser):
  lowest = browser.execute_script('return lowest')
  up, hold = (browser.find_element(By.ID, name) for name in ('up', 'hold'))
  up.send_keys(' ')
  assert browser.execute_script('return lowest') == lowest + 12
  assert hold.get_attribute('aria-pressed') == 'false'
  for expected in ('true', 'false'):
    hold.send_keys(' ')
    assert hold.get_attribute('aria-pressed') == expected
  assert (
    browser.execute_script(
      'return getComputedStyle(document.activeElement).outlineWidth'
    )
    == '3px'
  )
  browser.find_element(By.ID, 'down').send_keys(' ')


def test_each_finger_has_its_key(browser):
  def touch(kind, *keys):
    points = []
    for key in keys:
      box = browser.find_element(By.CSS_SELECTOR, f'[data-midi="{key}"]').rect
      x, y = box['x'] + box['width'] / 2, box['y'] + box['height'] - 9
      points.append({'x': x, 'y': y, 'id': len(points)})
    browser.execute_cdp_cmd(
      'Input.dispatchTouchEvent', {'type': kind, 'touchPoints': points}
    )

  touch('touchStart', 52, 57)
  assert sounding(browser) == {52, 57}
  touch('touchMove', 52, 59)  # a finger slides from key to key
  assert sounding(browser) == {52, 59}
  touch('touchEnd')
  assert not sounding(browser)


def test_the_pad_blends_four_sounds(browser):
  browser.execute_script('play(60, 100); blend(0, 1)')
  shares = np.array(browser.execute_script('return weights()'))
  np.testing.assert_allclose(shares, [0, 0, 1, 0], atol=1e-9)
  browser.execute_script('blend(0.2, 0.5)')
  shares = np.array(browser.execute_script('return weights()'))
  np.testing.assert_allclose((shares**2).sum(), 1)
  np.testing.assert_allclose(shares**2, [0.4, 0.1, 0.4, 0.1])
  browser.execute_script('stop(60)')
  text = browser.find_element(By.ID, 'pad').get_attribute('aria-valuetext')
  assert 'string </script><b> 40 %' in text


def test_the_sound_is_what_was_written(browser, path):
  codec = HarmonicCodec()
  (sample,) = pack.make_samples(OneNote('mallet'), codec, [60], [100])
  heard = browser.execute_script(
    'return [...buffers[2].get(60).buffer.getChannelData(0)]'
  )
  rate = browser.execute_script('return context.sampleRate')
  assert len(heard) / rate == pytest.approx(
    len(sample.audio) / 16_000, abs=0.01
  )
  assert np.abs(heard).max() > 0.3


@pytest.mark.parametrize('width', [1400, 390])
def test_everything_is_in_view(browser, width):
  browser.execute_cdp_cmd(
    'Emulation.setDeviceMetricsOverride',
    {'width': width, 'height': 844, 'deviceScaleFactor': 1, 'mobile': True},
  )
  browser.execute_script('drawKeys()')
  sizes = browser.execute_script(
    'return [document.documentElement.scrollWidth,'
    'element("keys").getBoundingClientRect().bottom]'
  )
  assert sizes[0] <= width and sizes[1] <= 844
  assert [e for e in browser.get_log('browser') if e['level'] == 'SEVERE'] == []
