"""Tests of fetch.py and download.py, with a server of their own."""

import bz2
import errno
import hashlib
import http.server
import io
import json
import lzma
import os
import pathlib
import re
import socket
import tarfile
import threading
import types

import pytest

from embedding_rnn.nsynth import download, fetch
from embedding_rnn.nsynth.conftest import CHECKPOINT, run_command
from embedding_rnn.utils import files

NAME = 'wavenet-ckpt.tar'


def tar_of(files, kind=tarfile.REGTYPE):
  """A tar archive of contents by name."""
  stream = io.BytesIO()
  with tarfile.open(fileobj=stream, mode='w') as tar:
    for name, content in files.items():
      info = tarfile.TarInfo(name)
      info.size, info.type = len(content), kind
      tar.addfile(info, io.BytesIO(content))
  return stream.getvalue()


ARCHIVE = tar_of(
  {f'wavenet-ckpt/{p.name}': p.read_bytes() for p in CHECKPOINT.iterdir()}
)


class Server(http.server.ThreadingHTTPServer):
  """Serves one file, as it is told.

  Attributes:
    content: of the file.
    etag: of the file, or None.
    has_ranges: whether it can begin in the middle.
    heeds_if_range: whether it does so only for the same file.
    cut: after so many bytes the connection breaks; None for never.
    ranges: what the requests so far asked for.
  """

  daemon_threads = True

  def __init__(self):
    super().__init__(('127.0.0.1', 0), Handler)
    self.content, self.etag, self.cut = ARCHIVE, '"1"', None
    self.has_ranges = self.heeds_if_range = True
    self.ranges = []
    self.length = None  # what to say of it, if that is not true
    self.target = None  # where to redirect to

  @property
  def url(self):
    return f'http://127.0.0.1:{self.server_port}/models/{NAME}'


class Handler(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    server = self.server
    asked = self.headers.get('Range')
    server.ranges.append(asked)
    if not self.path.endswith(NAME):
      self.send_error(404)
      return
    if server.target is not None:
      self.send_response(302)
      self.send_header('Location', server.target)
      self.end_headers()
      return
    start, size = 0, len(server.content)
    is_same = self.headers.get('If-Range') == server.etag
    if asked and server.has_ranges and (is_same or not server.heeds_if_range):
      start = int(re.fullmatch(r'bytes=(\d+)-', asked)[1])
    if start >= size:
      self.send_response(416)
      self.send_header('Content-Range', f'bytes */{size}')
    elif start:
      self.send_response(206)
      self.send_header('Content-Range', f'bytes {start}-{size - 1}/{size}')
    else:
      self.send_response(200)
    if server.etag:
      self.send_header('ETag', server.etag)
    length = server.length or str(max(0, size - start))
    self.send_header('Content-Length', length)
    self.end_headers()
    self.wfile.write(server.content[start : server.cut])

  def log_message(self, *args):
    pass


@pytest.fixture
def server(monkeypatch):
  monkeypatch.setenv('NO_PROXY', '127.0.0.1')
  server = Server()
  threading.Thread(
    target=server.serve_forever, args=(0.02,), daemon=True
  ).start()
  yield server
  server.shutdown()
  server.server_close()


def expect_fetched(folder, server, content=ARCHIVE):
  checkpoint = fetch.fetch(server.url, folder)
  assert checkpoint == folder / 'wavenet-ckpt'
  assert (folder / NAME).read_bytes() == content
  for path in CHECKPOINT.iterdir():
    assert (checkpoint / path.name).read_bytes() == path.read_bytes()
  left = {path.name for path in folder.iterdir()} - {f'.{NAME}.lock'}
  assert left == {NAME, 'wavenet-ckpt', fetch.CHECKSUMS}


def break_off(server, folder):
  """Has a first attempt end in the middle; -> what there is of the file."""
  server.cut = len(ARCHIVE) // 2
  with pytest.raises(ConnectionError, match='the same command goes on'):
    fetch.fetch(server.url, folder)
  server.cut = None
  kept = (folder / f'{NAME}.part').read_bytes()
  assert 0 < len(kept) <= len(ARCHIVE) // 2 and ARCHIVE.startswith(kept)
  assert not (folder / NAME).exists()
  server.ranges.clear()
  return kept


def test_fetches_once(server, tmp_path):
  expect_fetched(tmp_path, server)
  assert server.ranges == [None]
  expect_fetched(tmp_path, server)
  assert server.ranges == [None]
  (tmp_path / NAME).unlink()
  expect_fetched(tmp_path, server)


def test_goes_on_in_the_middle(server, tmp_path):
  kept = break_off(server, tmp_path)
  expect_fetched(tmp_path, server)
  assert server.ranges == [f'bytes={len(kept)}-']


@pytest.mark.parametrize('why', ['no ranges', 'no mark', 'a weak mark'])
def test_begins_anew(server, tmp_path, why):
  server.has_ranges = why != 'no ranges'
  if why != 'no ranges':
    server.etag = 'W/"1"' if why == 'a weak mark' else None
  break_off(server, tmp_path)
  expect_fetched(tmp_path, server)


@pytest.mark.parametrize('heeds_if_range', [True, False])
def test_changed_meanwhile(server, tmp_path, heeds_if_range):
  break_off(server, tmp_path)
  changed = ARCHIVE + bytes(10240)  # The padding of a tar is no matter.
  server.content, server.etag = changed, '"2"'
  server.heeds_if_range = heeds_if_range
  expect_fetched(tmp_path, server, changed)


def test_stopped_before_it_got_its_name(server, tmp_path, monkeypatch):
  def stop(*args):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(fetch, '_unpack', stop)
    with pytest.raises(KeyboardInterrupt):
      fetch.fetch(server.url, tmp_path)
  server.ranges.clear()
  expect_fetched(tmp_path, server)
  assert server.ranges == [f'bytes={len(ARCHIVE)}-']


def test_another_file_than_at_first(server, tmp_path):
  expect_fetched(tmp_path, server)
  server.content = ARCHIVE + bytes(10240)
  (tmp_path / NAME).unlink()
  with pytest.raises(ValueError, match=r'SHA-256 is .*, that was .*trust'):
    fetch.fetch(server.url, tmp_path)
  assert not list(tmp_path.glob(f'{NAME}*'))
  (tmp_path / NAME).write_bytes(ARCHIVE[:-1] + b'!')
  with pytest.raises(ValueError, match='SHA-256'):
    fetch.fetch(server.url, tmp_path)
  (tmp_path / NAME).write_bytes(ARCHIVE)
  expect_fetched(tmp_path, server)


def test_brought_by_other_means(server, tmp_path):
  (tmp_path / NAME).write_bytes(ARCHIVE)
  expect_fetched(tmp_path, server)
  assert server.ranges == []


def test_offline(tmp_path, monkeypatch):
  monkeypatch.setenv('NO_PROXY', '127.0.0.1')
  with socket.create_server(('127.0.0.1', 0)) as closed:
    port = closed.getsockname()[1]
  url = f'http://127.0.0.1:{port}/{NAME}'
  with pytest.raises(ConnectionError) as info:
    fetch.fetch(url, tmp_path)
  assert 'cannot be reached' in str(info.value)
  assert f"bring the file here, as '{tmp_path / NAME}'" in str(info.value)


def test_a_length_that_is_no_number(server, tmp_path):
  server.length = 'abc'
  with pytest.raises(ConnectionError, match="the file has 'abc' bytes"):
    fetch.fetch(server.url, tmp_path)
  server.length = None
  expect_fetched(tmp_path, server)


@pytest.mark.parametrize(
  'target',
  ['', 'ftp://x/y', 'http://[', 'file:///etc/passwd', NAME, f'//{"a" * 300}/'],
)
def test_redirections_to_nothing(server, tmp_path, target):
  server.target = target
  with pytest.raises(OSError, match=f'{NAME} cannot be') as caught:
    fetch.fetch(server.url, tmp_path)
  assert '\n' not in str(caught.value)


def test_what_was_fetched_by_http_is_known_by_https(tmp_path, monkeypatch):
  (tmp_path / NAME).write_bytes(ARCHIVE)
  sha256 = hashlib.sha256(ARCHIVE).hexdigest()
  checksums = {fetch._FORMER_URL: sha256}
  files.write_json(tmp_path / fetch.CHECKSUMS, checksums)
  assert fetch.URL.startswith('https://')
  fetch.fetch(fetch.URL, tmp_path)
  checksums = json.loads((tmp_path / fetch.CHECKSUMS).read_text())
  assert checksums == {fetch.URL: sha256}
  (tmp_path / NAME).write_bytes(ARCHIVE + bytes(10))
  with pytest.raises(ValueError, match='SHA-256'):
    fetch.fetch(fetch.URL, tmp_path)


def test_the_first_fetch_says_whom_it_trusts(server, tmp_path, caplog):
  with caplog.at_level('INFO', logger='absl'):
    fetch.fetch(server.url, tmp_path)
    assert 'the first fetch trusts the server, and all on' in caplog.text
    caplog.clear()
    fetch.fetch(server.url, tmp_path)
    assert 'trusts' not in caplog.text


def test_refusals(server, tmp_path):
  with pytest.raises(OSError, match='answers 404'):
    fetch.fetch(server.url.replace(NAME, 'b.tar'), tmp_path / 'b')
  for url in (
    'ftp://example.org/a.tar',
    'http://example.org/',
    'a.tar',
    'http://example.org/without_a_suffix',
    'http:///a.tar',
  ):
    with pytest.raises(ValueError, match='expected the http or https'):
      fetch.fetch(url, tmp_path)
  folder = tmp_path / 'c'
  expect_fetched(folder, server)
  with pytest.raises(ValueError, match='give another --output_dir'):
    fetch.fetch(server.url.replace('models', 'mirror'), folder)
  for text in ('{', '[]', '[' * 200_000):
    (folder / fetch.CHECKSUMS).write_text(text)
    with pytest.raises(ValueError, match=r'checksums.json.* is damaged'):
      fetch.fetch(server.url, folder)


def test_unpacked_again_when_damaged_or_new(server, tmp_path):
  checkpoint = fetch.fetch(server.url, tmp_path)
  path = next(checkpoint.glob('*.data-*'))
  path.write_bytes(path.read_bytes()[:100])
  expect_fetched(tmp_path, server)
  content = bytearray(path.read_bytes())
  content[0] ^= 1  # of the same size
  path.write_bytes(content)
  expect_fetched(tmp_path, server)
  (tmp_path / NAME).unlink()
  (tmp_path / fetch.CHECKSUMS).unlink()
  index, data = next(checkpoint.glob('*.index')).name, path.name
  server.content = tar_of({f'new/{index}': b'new', f'new/{data}': b'new'})
  server.etag = '"2"'
  assert fetch.fetch(server.url, tmp_path) == checkpoint
  assert path.read_bytes() == b'new'


def test_a_folder_of_others_is_left_alone(server, tmp_path):
  mine = tmp_path / 'wavenet-ckpt' / 'mine'
  mine.parent.mkdir()
  mine.write_text('mine')
  with pytest.raises(FileExistsError, match='not unpacked by this command'):
    fetch.fetch(server.url, tmp_path)
  assert mine.read_text() == 'mine'


def _spoilt(compress):
  content = bytearray(compress(ARCHIVE))
  middle = len(content) // 2
  content[middle : middle + 400] = b'x' * 400
  return bytes(content)


BAD_ARCHIVES = {
  'a page': (b'<html>' * 5000, 'no tar archive'),
  'truncated': (ARCHIVE[: len(ARCHIVE) // 2], 'unexpected end of data'),
  'damaged xz': (_spoilt(lzma.compress), 'no tar archive'),
  'damaged bz2': (_spoilt(bz2.compress), 'no tar archive'),
  'no weights': (tar_of({'a/x.index': b'x'}), 'no file of weights'),
  'outside': (tar_of({'../evil.index': b'x'}), 'outside the destination'),
  'a device': (tar_of({'a/b.index': b''}, tarfile.CHRTYPE), 'special file'),
  'no checkpoint': (tar_of({'a/readme': b'x'}), 'holds 0 folders'),
  'two': (tar_of({'a/x.index': b'x', 'b/x.index': b'x'}), 'holds 2 folders'),
}


@pytest.mark.parametrize('kind', BAD_ARCHIVES)
def test_bad_archive(server, tmp_path, kind):
  folder = tmp_path / 'folder'
  server.content, message = BAD_ARCHIVES[kind]
  with pytest.raises(ValueError, match=message):
    fetch.fetch(server.url, folder)
  assert os.listdir(folder) == [f'.{NAME}.lock']
  assert os.listdir(tmp_path) == ['folder']
  server.content = ARCHIVE  # It was not noted, so it may be another now.
  expect_fetched(folder, server)


def test_full_disk(server, tmp_path, monkeypatch):
  """While downloading, and while unpacking."""
  with monkeypatch.context() as patch:
    free = types.SimpleNamespace(free=1000)
    patch.setattr(fetch.files.shutil, 'disk_usage', lambda _: free)
    with pytest.raises(OSError, match='0 MB are free; make room'):
      fetch.fetch(server.url, tmp_path)

  def write(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  for place, name, missing in (
    (tarfile.TarFile, 'extractall', 'wavenet-ckpt'),
    (fetch.files, 'write_json', fetch.CHECKSUMS),
  ):
    with monkeypatch.context() as patch:
      patch.setattr(place, name, lambda *_, **__: write())
      with pytest.raises(OSError, match=r'is full: .*the same command'):
        fetch.fetch(server.url, tmp_path)
    assert not (tmp_path / missing).exists()
    assert not list(tmp_path.glob('*.unpacking'))
  expect_fetched(tmp_path, server)


def test_a_disk_that_is_really_full(server, tmp_path):
  """/dev/full takes no byte."""
  part = tmp_path / f'{NAME}.part'
  part.symlink_to('/dev/full')
  response = download._get(server.url, {})
  with pytest.raises(OSError, match='No space left'):
    download._write(response, part, 0)


def test_as_a_command(server, tmp_path):
  output_dir = f'--output_dir={tmp_path}'
  fetched = run_command('fetch', f'--url={server.url}', output_dir)
  assert fetched.returncode == 0, fetched.stderr
  assert f'--nsynth_checkpoint_path={tmp_path}/wavenet-ckpt' in fetched.stdout
  checksums = json.loads((tmp_path / fetch.CHECKSUMS).read_text())
  assert list(checksums) == [server.url]
  failed = run_command('fetch', '--url=http://127.0.0.1:1/a.tar', output_dir)
  assert failed.returncode == 1
  assert 'Error: ' in failed.stderr and 'Traceback' not in failed.stderr
  assert pathlib.Path(fetch.URL).name == NAME
  assert 'wavenet-ckpt' in run_command('fetch', '--help').stdout
