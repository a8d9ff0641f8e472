"""Gets a certificate: requests, issuers, the material store."""
