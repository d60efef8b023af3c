"""How child processes are started, watched and stopped."""
