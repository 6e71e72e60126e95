"""What must hold before and while a position goes on; asked by the daemon and by the commands."""
