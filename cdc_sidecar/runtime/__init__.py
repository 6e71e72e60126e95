"""The running daemon: sessions, threads and health. Only this package counts and logs."""
