"""Looks after jobs that run.py submitted: status, wait, logs and cancel.

Examples:
  python script_utils.py status --watch
  python script_utils.py wait default_run-20250131-120000
  python script_utils.py logs default_run-20250131-120000 default_local --follow
  python script_utils.py cancel default_run-20250131-120000 default_local
"""

from embedding_rnn.experiments import commands
from embedding_rnn.utils import cli

if __name__ == '__main__':
  cli.run(commands.main, commands.parse_command_line)
