r"""Makes notes of a trained run, and a page to hear and see them on.

Examples:
  python synthesize.py --run_dir=logs/default_local
  python synthesize.py --run_dir=logs/default_local --num_notes=50 --greedy=mean
  python synthesize.py --run_dir=logs/default_local --num_notes=0 \
    --pitches=C3,F#4,72 --temperature=0.7 --temperature_2=0.2 --seed=1
  python synthesize.py --run_dir=logs/default_local \
    --interpolate="koto C4, violin C4" --combine=12,80,97 --sweep="koto C4" \
    --num_given=30 --gap=40,70

Held-out notes are reconstructed, and a new note is sampled for each pitch. The
files go to run_dir/synthesis, or synthesis_2 and so on, a folder for each
setting; index.html shows them, summary.json lists them.
"""

if __name__ == '__main__':
  # Not above: processes that draw figures import this file, too.
  from embedding_rnn.synthesize import command
  from embedding_rnn.utils import cli

  command.define_flags()
  cli.run(command.main)
