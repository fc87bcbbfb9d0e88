"""Fetches a checkpoint of the NSynth WaveNet autoencoder, such as Magenta's.

Examples:
  python -m embedding_rnn.nsynth.fetch
  python -m embedding_rnn.nsynth.fetch --output_dir=/data/checkpoints \
    --url=https://example.org/wavenet-ckpt.tar

The archive is written to --output_dir and unpacked beside itself, for
--nsynth_checkpoint_path. The command may be stopped at any time; given again,
it goes on. The SHA-256 of what an address gave first is noted in
checksums.json; whatever it gives later must be the same.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import pathlib
import shutil
import tarfile
import urllib.parse
import zlib
from collections.abc import Mapping
from typing import Any

from absl import flags, logging

from embedding_rnn.nsynth import download
from embedding_rnn.utils import cli, files, locks, reading

_BUCKET = 'download.magenta.tensorflow.org'  # of that name at Google's storage
URL = f'https://storage.googleapis.com/{_BUCKET}/models/nsynth/wavenet-ckpt.tar'
# Of versions before, which is the same file.
_FORMER_URL = f'http://{_BUCKET}/models/nsynth/wavenet-ckpt.tar'
CHECKSUMS = 'checksums.json'
_UNPACKED = 'unpacked.json'
_CHUNK_BYTES = 1 << 20
# bz2 raises an OSError without a number.
_DAMAGE = tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error


def fetch(
  url: str = URL, output_dir: str | os.PathLike[str] = 'checkpoints'
) -> pathlib.Path:
  """Downloads and unpacks a checkpoint, or goes on where that was stopped.

  Args:
    url: of a tar archive with one checkpoint of TensorFlow 1 in it. A file of
      its name that is in the folder already, fetched by other means, is used.
    output_dir: the folder to write to; made if it is not there.

  Returns:
    The folder of the checkpoint, `output_dir/ARCHIVE`, without the suffix.

  Raises:
    ConnectionError: the address cannot be reached, or the connection broke.
    OSError: the disk is full, or the server refuses.
    ValueError: the file is not the one that was first fetched from there, or no
      archive of a checkpoint.
  """
  folder = pathlib.Path(output_dir)
  archive = folder / _file_name(url)
  checkpoint = folder / archive.name.partition('.')[0]
  files.make_folder(folder)
  with (
    files.explained_full_disk(folder),
    locks.exclusive(folder / f'.{archive.name}.lock'),
  ):
    checksums = _read_checksums(folder)
    if _FORMER_URL in checksums:
      checksums.setdefault(URL, checksums.pop(_FORMER_URL))
    noted = checksums.get(url)
    if noted is None:
      _expect_other_names(archive, url, checksums)
    if checkpoint.exists() and not (checkpoint / _UNPACKED).exists():
      raise FileExistsError(
        f"'{checkpoint}' was not unpacked by this command; move it away, or "
        'give another --output_dir.'
      )

    def accept(path):
      sha256 = _sha256(path)
      if noted not in (None, sha256):
        raise ValueError(
          f'{archive.name} is not what {url} gave when it was first fetched: '
          f'its SHA-256 is {sha256}, that was {noted}. If you trust it all the '
          f"same, remove the address from '{folder / CHECKSUMS}'; else remove "
          'the archive, if it is there. Then fetch again.'
        )
      if _unpacked_from(checkpoint) != sha256:
        _unpack(path, checkpoint, url, sha256)
      return sha256

    if noted is None:
      logging.info(
        'Nothing is known of this file yet: the first fetch trusts %s. The '
        'SHA-256 of what it gives is noted in %s.',
        archive if archive.exists() else _whom(url),
        CHECKSUMS,
      )
    if archive.exists():
      sha256 = accept(archive)
    else:
      sha256 = download.download(url, archive, accept)
    files.write_json(folder / CHECKSUMS, checksums | {url: sha256})
  return checkpoint


def _whom(url: str) -> str:
  """Whom a download trusts."""
  is_open = url.startswith('http:')
  return 'the server' + ', and all on the way to it (http)' * is_open


def _file_name(url: str) -> str:
  try:
    parts = urllib.parse.urlsplit(url)
  except ValueError:
    parts = urllib.parse.urlsplit('')
  name = pathlib.PurePosixPath(urllib.parse.unquote(parts.path)).name
  stem, point, _ = name.partition('.')
  if not (
    parts.scheme in ('http', 'https') and parts.netloc and stem and point
  ):
    raise ValueError(
      f'--url={url}: expected the http or https address of a tar archive, with '
      'a suffix such as .tar.'
    )
  return name


def _expect_other_names(
  archive: pathlib.Path, url: str, checksums: Mapping[str, str]
) -> None:
  """Raises ValueError if an archive of that name came from elsewhere."""
  for other in checksums:
    if other.endswith(f'/{archive.name}'):
      raise ValueError(
        f"'{archive}' was fetched from {other}; give another --output_dir "
        f'for {url}.'
      )


def _read_checksums(folder: pathlib.Path) -> dict[str, Any]:
  path = folder / CHECKSUMS
  try:
    return reading.read_json(path, 'restore or remove it')
  except FileNotFoundError:
    return {}


def _sha256(path: pathlib.Path) -> str:
  reading.expect_plain_file(path)
  digest = hashlib.sha256()
  size = path.stat().st_size
  with (
    path.open('rb') as file,
    cli.progress_bar(
      total=size, desc='Checking', unit='B', unit_scale=True
    ) as bar,
  ):
    while chunk := file.read(_CHUNK_BYTES):
      digest.update(chunk)
      bar.update(len(chunk))
  return digest.hexdigest()


def _unpacked_from(folder: pathlib.Path) -> str | None:
  """The SHA-256 of a folder's archive, if all is as it was unpacked."""
  hints = {'archive_sha256': str, 'sha256': dict[str, str]}
  try:
    unpacked = reading.read_json(folder / _UNPACKED, '', hints=hints)
    found = {name: _sha256(folder / name) for name in unpacked['sha256']}
  except (OSError, ValueError):
    return None
  return unpacked['archive_sha256'] if found == unpacked['sha256'] else None


def _unpack(
  archive: pathlib.Path, folder: pathlib.Path, url: str, sha256: str
) -> None:
  """Unpacks the folder of the one checkpoint that is in an archive.

  Raises:
    ValueError: if there is none, or the archive is damaged, or would write
      elsewhere.
  """
  logging.info("Unpacking '%s'", folder)
  temporary = folder.with_name(f'.{folder.name}.unpacking')
  shutil.rmtree(temporary, ignore_errors=True)  # if it was killed
  try:
    with tarfile.open(archive) as tar:
      tar.extractall(temporary, filter='data')  # nothing outside of it
    found = {path.parent for path in temporary.rglob('*.index')}
    if len(found) != 1:
      raise ValueError(
        f'What {url} gave holds {len(found)} folders with a checkpoint of '
        'TensorFlow 1 (a file that ends in .index), expected one; check the '
        'address, and remove the archive if it is there.'
      )
    (unpacked,) = found
    paths = filter(pathlib.Path.is_file, unpacked.iterdir())
    digests = {path.name: _sha256(path) for path in paths}
    if not any('.data-' in name for name in digests):
      raise ValueError(
        f'What {url} gave has no file of weights (.data-?????-of-?????) in its '
        'checkpoint; check the address, and remove the archive if it is there.'
      )
    files.write_json(
      unpacked / _UNPACKED, {'archive_sha256': sha256, 'sha256': digests}
    )
    files.remove_folder(folder)
    unpacked.replace(folder)
  except _DAMAGE as error:
    if isinstance(error, OSError) and error.errno is not None:
      raise  # of the disk
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    raise ValueError(
      f'What {url} gave is no tar archive that can be unpacked ({reason}); '
      'check the address, and remove the archive if it is there.'
    ) from error
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def define_flags() -> None:
  """Defines the flags of `main`."""
  flags.DEFINE_string('url', URL, 'Address of the archive.')
  flags.DEFINE_string(
    'output_dir', 'checkpoints', 'Folder of the archive and the checkpoint.'
  )


def main(argv: list[str]) -> None:
  """The command; errors as of `fetch`."""
  del argv
  checkpoint = fetch(flags.FLAGS.url, flags.FLAGS.output_dir)
  cli.write_result(f'Use it with: --nsynth_checkpoint_path={checkpoint}')


if __name__ == '__main__':
  define_flags()
  cli.run(main)
