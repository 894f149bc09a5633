"""The command ``lockstep``: one file a verb, each importing only what it runs."""
