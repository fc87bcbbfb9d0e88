from .choosing import choose_voice as choose_voice
from .midi import PlayedNote as PlayedNote
from .midi import Song as Song
from .midi import read_song as read_song
from .playing import render as render
from .voice import Voice as Voice
