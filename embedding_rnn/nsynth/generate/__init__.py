"""The command that generates audio of encoded notes."""
