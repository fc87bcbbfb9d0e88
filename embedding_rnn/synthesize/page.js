'use strict';
{
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const clamp = (x, high) => Math.min(Math.max(x, 0), high);

  // Sounds stand in the page in base64; they are decoded when they are needed.
  const encoded = JSON.parse(document.getElementById('sounds').textContent);
  let context;
  const decode = (file) => {
    const bytes = Uint8Array.from(atob(encoded[file]), (c) => c.charCodeAt(0));
    return context.decodeAudioData(bytes.buffer);
  };

  const SMOOTH_SECONDS = 0.006; // of gains, so that nothing clicks
  let current = null;

  // Sounds that are played in step, of which one or a mix of two is heard.
  class Deck {
    constructor(element) {
      this.element = element;
      this.note = element.closest('.note');
      this.files = JSON.parse(element.dataset.sounds);
      this.seconds = Number(element.dataset.seconds);
      this.button = element.querySelector('.play');
      this.view = element.querySelector('.view');
      this.slider = element.querySelector('.controls input');
      this.choices = all('[data-position]', element);
      this.offset = 0; // seconds
      this.position = 0; // 1.5 is halfway between the second and the third
      this.playing = null;
      this.button.addEventListener('click', () => this.toggle());
      this.slider?.addEventListener('input', () => {
        this.choose();
        this.setPosition(Number(this.slider.value));
      });
      for (const choice of this.choices) {
        choice.addEventListener('click', () => {
          this.choose();
          this.setPosition(Number(choice.dataset.position));
          if (choice.closest('.keys')) {
            this.seek(0);
            this.play();
          }
        });
      }
      // What is clicked does not keep the keys from the page.
      all('button', element).forEach((button) =>
        button.addEventListener('mousedown', (event) => event.preventDefault()));
      this.view.addEventListener('pointerdown', (event) => this.drag(event));
      this.view.addEventListener('pointermove', (event) => {
        if (event.buttons) this.drag(event);
      });
      this.view.addEventListener('keydown', (event) => {
        const step = {ArrowLeft: -0.1, ArrowRight: 0.1}[event.key];
        if (!step) return;
        event.preventDefault();
        event.stopPropagation();
        this.seek(this.now() + step);
      });
      this.show();
    }

    // Makes this the one that keys act on.
    choose() {
      if (current === this) return;
      current?.stop();
      current?.note.classList.remove('current');
      current = this;
      this.note.classList.add('current');
    }

    now() {
      if (!this.playing) return this.offset;
      // What plays begins a moment after it was asked for.
      const now = context.currentTime - this.playing.start;
      return clamp(Math.max(this.offset, now), this.seconds);
    }

    gain(i) { return Math.max(0, 1 - Math.abs(this.position - i)); }

    async play() {
      this.choose();
      context ??= new AudioContext();
      this.buffers ??= Promise.all(this.files.map(decode));
      let buffers;
      try {
        [buffers] = await Promise.all([this.buffers, context.resume()]);
      } catch (error) {
        this.note.classList.add('broken');
        this.button.title = 'These sounds cannot be played: ' + error.message;
        return;
      }
      if (current !== this || this.playing) return;
      const when = context.currentTime + 0.02;
      const parts = buffers.map((buffer, i) => {
        const source = new AudioBufferSourceNode(context, {buffer});
        const volume = new GainNode(context, {gain: this.gain(i)});
        source.connect(volume).connect(context.destination);
        if (this.offset < buffer.duration) source.start(when, this.offset);
        return {source, volume};
      });
      this.playing = {start: when - this.offset, parts};
      this.show();
      requestAnimationFrame(() => this.follow());
    }

    follow() {
      if (!this.playing) return;
      if (this.now() >= this.seconds) {
        this.pause();
        this.offset = 0;
      }
      this.show();
      requestAnimationFrame(() => this.follow());
    }

    pause() {
      if (!this.playing) return;
      this.offset = this.now();
      for (const {source, volume} of this.playing.parts) {
        const end = context.currentTime;
        volume.gain.setTargetAtTime(0, end, SMOOTH_SECONDS);
        try {
          source.stop(end + 6 * SMOOTH_SECONDS);
        } catch {} // it never began, for it is shorter
      }
      this.playing = null;
      this.show();
    }

    stop() {
      this.pause();
      this.offset = 0;
      this.show();
    }

    toggle() { return this.playing ? this.pause() : this.play(); }

    seek(seconds) {
      const isPlaying = this.playing;
      this.pause();
      this.offset = clamp(seconds, this.seconds);
      this.show();
      if (isPlaying) this.play();
    }

    drag(event) {
      const {left, width} = this.view.getBoundingClientRect();
      if (event.type === 'pointerdown') {
        this.choose();
        this.view.setPointerCapture(event.pointerId);
        const lane = event.target.closest('.lanes:not(.stacked) .lane');
        if (lane) {
          this.setPosition(all('.lane', this.view).indexOf(lane));
        }
      }
      this.seek((event.clientX - left) / width * this.seconds);
    }

    setPosition(position) {
      this.position = clamp(position, this.files.length - 1);
      this.playing?.parts.forEach(({volume}, i) =>
        volume.gain.setTargetAtTime(
          this.gain(i), context.currentTime, SMOOTH_SECONDS));
      this.show();
    }

    show() {
      const now = this.now();
      this.button.setAttribute('aria-pressed', String(!!this.playing));
      this.view.style.setProperty('--at', now / this.seconds);
      this.view.setAttribute('aria-valuenow', now.toFixed(3));
      this.view.setAttribute('aria-valuetext', now.toFixed(1) + ' seconds');
      if (this.slider) this.slider.value = this.position;
      for (const choice of this.choices) {
        const isChosen = Number(choice.dataset.position) === this.position;
        choice.setAttribute('aria-pressed', String(isChosen));
      }
      for (const selector of ['.picture', '.line']) {
        all(selector, this.view).forEach((element, i) =>
          element.style.setProperty('--gain', this.gain(i)));
      }
    }
  }

  const decks = new Map(all('.deck').map((element) => {
    const deck = new Deck(element);
    return [deck.note, deck];
  }));

  // Notes that are shown, in the order in which they stand.
  const shown = () => all('.note').filter((note) =>
    decks.has(note) && !note.hidden).map((note) => decks.get(note));

  const walk = (step) => {
    const list = shown();
    const place = list.indexOf(current);
    const next = list[place < 0 ? 0 : clamp(place + step, list.length - 1)];
    if (!next || next === current) return;
    const isPlaying = current?.playing;
    next.choose();
    next.note.scrollIntoView({block: 'nearest'});
    if (isPlaying) next.play();
  };

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const {target, key} = event;
    if (document.querySelector('dialog[open]')) return;
    if (target.matches('input:not([type=range]), select')) return;
    const isPressed = target.matches('button, summary');
    const deck = current ?? shown()[0];
    if (!deck) return;
    if (key === ' ' && !isPressed) {
      deck.toggle();
    } else if (/^[ab]$/i.test(key) && deck.files.length > 1) {
      deck.choose();
      deck.setPosition(key.toLowerCase() === 'a' ? 0 : deck.files.length - 1);
    } else if (/^Arrow(Left|Right)$/.test(key) && target.type !== 'range') {
      walk(key === 'ArrowLeft' ? -1 : 1);
    } else {
      return;
    }
    event.preventDefault();
  });

  // Filters and order.
  const form = document.querySelector('.find form');
  const notes = all('.note').map((element) =>
    ({element, list: element.parentElement, ...JSON.parse(element.dataset.note)}));

  const filter = () => {
    const {text, family, low, high} = form.elements;
    const words = text.value.toLowerCase().split(/\s+/);
    let count = 0;
    for (const note of notes) {
      const fits = (!family.value || note.family === family.value) &&
        note.pitches.some((pitch) => (!low.value || pitch >= low.value) &&
          (!high.value || pitch <= high.value)) &&
        words.every((word) => note.text.includes(word));
      note.element.hidden = !fits;
      count += fits;
    }
    for (const section of all('.notes')) {
      section.hidden = !section.querySelector('.note:not([hidden])');
    }
    form.elements.count.value = count + ' of ' + notes.length + ' notes' +
      (count ? '' : ': none fits these filters');
  };

  const sort = () => {
    const key = form.elements.key.value;
    const sign = form.elements.descending.checked ? -1 : 1;
    const sorted = notes.map((note, place) => ({
      note, value: key ? note.values[key] : place,
    }));
    sorted.sort((a, b) =>
      (a.value === undefined) - (b.value === undefined) ||
      sign * (a.value - b.value) || 0);
    for (const {note} of sorted) note.list.append(note.element);
  };

  form.addEventListener('input', (event) => {
    if (['key', 'descending'].includes(event.target.name)) sort();
    else filter();
  });
  form.addEventListener('reset', () => setTimeout(() => { filter(); sort(); }));
  form.addEventListener('submit', (event) => event.preventDefault());
  filter();
  if (form.elements.key.value || form.elements.descending.checked) sort();

  // A figure fills the window, and the sound goes on.
  const dialog = document.querySelector('dialog');
  document.addEventListener('click', (event) => {
    const link = event.target.closest('.figures a');
    const plain = !(event.ctrlKey || event.metaKey || event.shiftKey);
    if (event.target === dialog) dialog.close();
    if (!link || !plain) return;
    event.preventDefault();
    const image = dialog.querySelector('img');
    image.src = link.href;
    image.alt = link.firstElementChild.alt;
    image.className = link.parentElement.className;
    dialog.querySelector('span').textContent =
      link.parentElement.querySelector('figcaption').textContent;
    dialog.showModal();
  });
}
