from .midi import read_song as read_song
from .playing import render as render
from .voice import Voice as Voice
