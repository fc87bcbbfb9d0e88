// The instrument: four sounds, mixed by the pad, under a keyboard.
const context = new AudioContext({latencyHint: 'interactive'});
const out = context.createDynamicsCompressor();
const probe = context.createAnalyser();  // what is heard, for tests
out.connect(probe);
probe.connect(context.destination);

const RELEASE_SECONDS = 0.25;
const COMPUTER_KEYS = 'awsedftgyhujkolp;';
const NAMES = ['C', 'C♯', 'D', 'D♯', 'E', 'F', 'F♯', 'G', 'G♯', 'A', 'A♯', 'B'];
const element = (id) => document.getElementById(id);
const sounding = new Map();  // by MIDI number
let place = {x: 0.5, y: 0.5};
let lowest = 48;
let isHeld = false;
let buffers = [];  // for each corner, by MIDI number of the sample

const bytesOf = (text) =>
  Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;

async function load() {
  buffers = await Promise.all(SOUND.corners.map(async (corner) => {
    const pairs = await Promise.all(corner.samples.map(async (sample) => [
      sample.key,
      {buffer: await context.decodeAudioData(bytesOf(sample.audio)),
        loop: sample.loop},
    ]));
    return new Map(pairs);
  }));
  element('message').textContent = 'Ready.';
  document.body.dataset.ready = 'yes';
}

// How much of each corner there is; powers add up to 1.
function weights() {
  const {x, y} = place;
  const shares = [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y];
  return shares.map(Math.sqrt);
}

function nearest(keys, midi) {
  return [...keys].reduce((best, key) =>
    Math.abs(key - midi) < Math.abs(best - midi) ? key : best);
}

function play(midi, velocity) {
  context.resume();
  stop(midi, true);
  if (!buffers.length) return;
  const master = context.createGain();
  master.gain.value = (velocity / 127) ** 1.5;
  master.connect(out);
  const share = weights();
  const parts = buffers.map((samples, corner) => {
    const key = nearest(samples.keys(), midi);
    const {buffer, loop} = samples.get(key);
    const source = context.createBufferSource();
    source.buffer = buffer;
    source.playbackRate.value = 2 ** ((midi - key) / 12);
    if (loop) {
      source.loop = true;
      source.loopStart = loop[0] / SOUND.rate;
      source.loopEnd = (loop[1] + 1) / SOUND.rate;
    }
    const gain = context.createGain();
    gain.gain.value = share[corner];
    source.connect(gain).connect(master);
    source.start();
    return {source, gain};
  });
  sounding.set(midi, {master, parts, isDown: true});
  show(midi, true);
}

function stop(midi, atOnce = false) {
  const note = sounding.get(midi);
  if (!note) return;
  note.isDown = false;
  if (isHeld && !atOnce) return;
  const seconds = atOnce ? 0.02 : RELEASE_SECONDS;
  const now = context.currentTime;
  note.master.gain.setTargetAtTime(0, now, seconds / 4);
  note.parts.forEach(({source}) => source.stop(now + 2 * seconds));
  sounding.delete(midi);
  show(midi, false);
}

function show(midi, isOn) {
  const key = document.querySelector(`.key[data-midi="${midi}"]`);
  if (key) key.classList.toggle('on', isOn);
}

function blend(x, y) {
  place = {x: Math.min(1, Math.max(0, x)), y: Math.min(1, Math.max(0, y))};
  element('dot').style.left = `${100 * place.x}%`;
  element('dot').style.top = `${100 * place.y}%`;
  const share = weights();
  const text = SOUND.corners.map((corner, i) =>
    `${corner.name} ${Math.round(100 * share[i] ** 2)} %`).join(', ');
  element('pad').setAttribute('aria-valuetext', text);
  for (const {parts} of sounding.values()) {
    parts.forEach(({gain}, i) =>
      gain.gain.setTargetAtTime(share[i], context.currentTime, 0.02));
  }
}

function hold(on) {
  isHeld = on;
  element('hold').setAttribute('aria-pressed', String(on));
  if (on) return;
  for (const [midi, note] of [...sounding]) if (!note.isDown) stop(midi);
}

const velocity = () => Number(element('velocity').value);

function drawKeys() {
  const number = window.innerWidth < 700 ? 13 : 25;
  const isBlack = (midi) => NAMES[midi % 12].length > 1;
  const range = [...Array(number).keys()].map((i) => lowest + i);
  const white = range.filter((midi) => !isBlack(midi)).length;
  const keys = element('keys');
  keys.replaceChildren(...range.map((midi, i) => {
    const key = document.createElement('div');
    key.className = isBlack(midi) ? 'key black' : 'key';
    key.dataset.midi = midi;
    if (midi % 12 === 0) key.textContent = `C${midi / 12 - 1}`;
    if (isBlack(midi)) {
      const before = range.slice(0, i).filter((m) => !isBlack(m)).length;
      key.style.width = `${62 / white}%`;
      key.style.left = `${(before - 0.31) * 100 / white}%`;
    }
    key.classList.toggle('on', sounding.has(midi));
    return key;
  }));
}

function moveOctave(by) {
  const moved = lowest + 12 * by;
  if (moved < 24 || moved > 84) return;
  for (const midi of [...sounding.keys()]) stop(midi);
  lowest = moved;
  drawKeys();
}

// Pointers: each finger has the key that it is on.
const pointers = new Map();
function keyAt(event) {
  const found = document.elementFromPoint(event.clientX, event.clientY);
  const key = found && found.closest('.key');
  return key ? Number(key.dataset.midi) : null;
}
element('keys').addEventListener('pointerdown', (event) => {
  event.target.releasePointerCapture?.(event.pointerId);
  const midi = keyAt(event);
  if (midi === null) return;
  pointers.set(event.pointerId, midi);
  play(midi, velocity());
});
window.addEventListener('pointermove', (event) => {
  if (!pointers.has(event.pointerId)) return;
  const midi = keyAt(event);
  const before = pointers.get(event.pointerId);
  if (midi === before) return;
  if (before !== null) stop(before);
  pointers.set(event.pointerId, midi);
  if (midi !== null) play(midi, velocity());
});
for (const type of ['pointerup', 'pointercancel']) {
  window.addEventListener(type, (event) => {
    const midi = pointers.get(event.pointerId);
    pointers.delete(event.pointerId);
    if (midi !== null && midi !== undefined) stop(midi);
  });
}

const pad = element('pad');
function blendAt(event) {
  const box = pad.getBoundingClientRect();
  blend((event.clientX - box.left) / box.width,
    (event.clientY - box.top) / box.height);
}
pad.addEventListener('pointerdown', (event) => {
  pad.setPointerCapture(event.pointerId);
  blendAt(event);
});
pad.addEventListener('pointermove', (event) => {
  if (event.buttons) blendAt(event);
});
pad.addEventListener('keydown', (event) => {
  const step = {ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0],
    ArrowUp: [0, -0.05], ArrowDown: [0, 0.05]}[event.key];
  if (!step) return;
  event.preventDefault();
  blend(place.x + step[0], place.y + step[1]);
});

const computerKey = (event) =>
  COMPUTER_KEYS.indexOf(event.key.toLowerCase()) + lowest;
window.addEventListener('keydown', (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === ' ') {
    if (event.target.closest?.('button')) return;  // which it presses
    event.preventDefault();
    hold(!isHeld);
  } else if (event.key === 'z') {
    moveOctave(-1);
  } else if (event.key === 'x') {
    moveOctave(1);
  } else if (computerKey(event) >= lowest) {
    play(computerKey(event), velocity());
  }
});
window.addEventListener('keyup', (event) => {
  if (computerKey(event) >= lowest) stop(computerKey(event));
});
window.addEventListener('blur', () => {
  for (const midi of [...sounding.keys()]) stop(midi);
});
element('hold').addEventListener('click', () => hold(!isHeld));
element('down').addEventListener('click', () => moveOctave(-1));
element('up').addEventListener('click', () => moveOctave(1));
window.addEventListener('resize', drawKeys);

// MIDI keyboards, where the browser has them.
function hear({data: [status, midi, value]}) {
  const kind = status & 0xf0;
  if (kind === 0x90 && value) play(midi, value);
  else if (kind === 0x80 || kind === 0x90) stop(midi);
  else if (kind === 0xb0 && midi === 64) hold(value >= 64);
}
navigator.requestMIDIAccess?.().then((access) => {
  const listen = () =>
    access.inputs.forEach((input) => { input.onmidimessage = hear; });
  access.onstatechange = listen;
  listen();
}).catch(() => {});

drawKeys();
blend(0.5, 0.5);
load().catch((error) => {
  element('message').textContent =
    `The sounds cannot be decoded by this browser: ${error.message}`;
});
