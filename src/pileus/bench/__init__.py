"""Studies of what things cost on this machine: `pileus bench` writes each as a record folder."""
