"""How soon the page of an instrument sounds, in Chromium.

  python benchmarks/page.py my_sounds/index.html

Prints its size, how long it takes until all keys that are in view can be
played, and the time from the event of a pointer on a key until the graph of
sounds puts out samples; what the system needs after that is added to it by the
browser's own account (`baseLatency`).
"""

from __future__ import annotations

import pathlib
import shutil
import statistics
import time

from absl import app
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

_KEYS = range(48, 73)
_PRESS = """
const [midi, done] = arguments;
const heard = new Float32Array(probe.fftSize = 256);
const box = document.querySelector(`.key[data-midi="${midi}"]`)
  .getBoundingClientRect();
const at = {clientX: box.left + box.width / 2, clientY: box.bottom - 8,
  pointerId: 1, bubbles: true};
const target = document.elementFromPoint(at.clientX, at.clientY);
const begun = performance.now();
target.dispatchEvent(new PointerEvent('pointerdown', at));
(function look() {
  probe.getFloatTimeDomainData(heard);
  const ms = performance.now() - begun;
  if (heard.some((x) => Math.abs(x) > 1e-4)) {
    window.dispatchEvent(new PointerEvent('pointerup', at));
    done(ms + 1000 * context.baseLatency);
  } else setTimeout(look, 0);
})();
"""


def main(argv):
  """Prints what was measured."""
  if len(argv) != 2:
    raise app.UsageError('Expected one argument, the page.')
  path = pathlib.Path(argv[1]).resolve()
  options = webdriver.ChromeOptions()
  options.binary_location = shutil.which('chromium') or ''
  for argument in (
    'headless',
    'no-sandbox',
    'mute-audio',
    'autoplay-policy=no-user-gesture-required',
    'window-size=1400,1000',
  ):
    options.add_argument(f'--{argument}')
  service = webdriver.ChromeService(shutil.which('chromedriver'))
  with webdriver.Chrome(options, service) as driver:
    start = time.perf_counter()
    driver.get(path.as_uri())
    WebDriverWait(driver, 120, 0.01).until(
      lambda d: d.execute_script('return document.body.dataset.ready')
    )
    ready = time.perf_counter() - start
    delays = []
    for key in _KEYS:
      delays.append(driver.execute_async_script(_PRESS, key))
      time.sleep(0.8)  # until it has died away
    rate = driver.execute_script('return context.sampleRate')
  print(f'{path.stat().st_size / 1e6:.1f} MB, ready after {ready:.1f} s')
  print(
    f'from key to sound: median {statistics.median(delays):.0f} ms, '
    f'{min(delays):.0f} to {max(delays):.0f} ms ({rate:.0f} Hz)'
  )


if __name__ == '__main__':
  app.run(main)
