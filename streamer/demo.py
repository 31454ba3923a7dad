"""A scene that the program makes up itself, so that it can be seen at work without a microphone."""
