"""Against real parts, not stand-ins for them: `make parts` installs what these need."""
