"""Sessions over SSH and SFTP, TLS probes; the only product code that imports asyncssh."""
