"""How well a TFLite file hears, through the streaming code."""
