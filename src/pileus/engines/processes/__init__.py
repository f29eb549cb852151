"""Worker processes of one host, told and heard over socket pairs: what engines with processes of their own share."""
