"""Downloads that go on where they were stopped.

pooch, which librosa brings, cannot do that: it begins anew, and looks neither
whether there is room nor whether a length is one.
"""

from __future__ import annotations

import contextlib
import http
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import requests

from embedding_rnn.utils import cli, files, reading

_TIMEOUT = 30, 60  # seconds to connect, and without a byte
_CHUNK_BYTES = 1 << 16

T = TypeVar('T')


def download(
  url: str, path: pathlib.Path, accept: Callable[[pathlib.Path], T]
) -> T:
  """Downloads a file, or the rest of it.

  Until it is accepted, it is called PATH.part. The server's mark of the file
  (ETag or Last-Modified) is kept beside it: if the file has changed meanwhile,
  or the server cannot go on in the middle, the download begins anew.

  Args:
    url: http or https.
    path: what the file is going to be called.
    accept: is given the path of the whole file before it gets its name. If it
      raises ValueError, the file is removed.

  Returns:
    What `accept` does.

  Raises:
    ConnectionError: the server cannot be reached, or the connection broke. What
      there is of the file is kept.
    OSError: the server refuses, or the disk is full or too small.
  """
  part = path.with_name(f'{path.name}.part')
  mark_path = path.with_name(f'{path.name}.part.json')
  reading.expect_plain_file(part)
  with _explained(url, path, part):
    response, start = _open(url, part, _read_mark(mark_path, url))
    with response:
      if start == 0:
        part.unlink(missing_ok=True)
        files.write_json(mark_path, {'url': url, 'mark': _mark_of(response)})
      nothing_missing = http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
      if response.status_code != nothing_missing:
        _write(response, part, start)
  try:
    result = accept(part)
  except ValueError:
    part.unlink()
    mark_path.unlink()
    raise
  os.replace(part, path)
  mark_path.unlink()
  return result


def _open(
  url: str, part: pathlib.Path, mark: str | None
) -> tuple[requests.Response, int]:
  """-> a response, and the byte of the file that its content begins with.

  Where nothing is missing, that is an error 416 without content.
  """
  size = part.stat().st_size if part.exists() else 0
  if size and mark:
    response = _get(url, {'Range': f'bytes={size}-', 'If-Range': mark})
    if response.status_code == http.HTTPStatus.OK:
      return response, 0
    span = response.headers.get('Content-Range', '')
    is_same = _mark_of(response) in (None, mark)
    if is_same and re.match(rf'bytes (\*/{size}$|{size}-)', span):
      return response, size
    response.close()
  response = _get(url, {})
  if response.status_code != http.HTTPStatus.OK:
    response.close()
    raise OSError(
      f'{url} cannot be fetched: the server answers {response.status_code} '
      f'{response.reason}. Check the address.'
    )
  return response, 0


def _get(url: str, headers: dict[str, str]) -> requests.Response:
  headers['Accept-Encoding'] = 'identity'  # A byte is to be a byte of the file.
  return requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT)


def _mark_of(response: requests.Response) -> str | None:
  """What changes with the file, if the server tells."""
  etag = response.headers.get('ETag', 'W/')
  if not etag.startswith('W/'):
    return etag
  return response.headers.get('Last-Modified')


def _read_mark(path: pathlib.Path, url: str) -> str | None:
  try:
    values = reading.read_json(path, '', hints={'mark': str | None})
    return values.get('mark') if values.get('url') == url else None
  except (FileNotFoundError, ValueError):
    return None


def _write(response: requests.Response, part: pathlib.Path, start: int) -> None:
  length = response.headers.get('Content-Length')
  if length is not None and not re.fullmatch('[0-9]{1,18}', length):
    raise requests.ConnectionError(
      f'the server says that the file has {length[:60]!r} bytes'
    )
  total = None if length is None else start + int(length)
  if total is not None:
    missing = total - start
    files.expect_space(
      part.parent, missing, f'{missing / 1e6:,.0f} MB are to be downloaded'
    )
  with (
    part.open('ab') as file,
    cli.progress_bar(
      desc=f'Downloading {part.stem}',
      initial=start,
      total=total,
      unit='B',
      unit_scale=True,
    ) as bar,
  ):
    for chunk in response.iter_content(_CHUNK_BYTES):
      file.write(chunk)
      bar.update(len(chunk))
  size = part.stat().st_size
  if total not in (None, size):
    raise requests.ConnectionError(f'it ended at byte {size} of {total}')


@contextlib.contextmanager
def _explained(
  url: str, path: pathlib.Path, part: pathlib.Path
) -> Iterator[None]:
  try:
    yield
  # Addresses that a server redirects to may be no addresses.
  except (requests.RequestException, ValueError) as error:
    kept = part.stat().st_size / 1e6 if part.exists() else 0.0
    raise ConnectionError(
      f'{url} cannot be reached, or the connection broke: {error}. '
      f'{kept:,.1f} MB of it are there; once there is a connection, the same '
      f"command goes on. Without one, bring the file here, as '{path}'."
    ) from error
