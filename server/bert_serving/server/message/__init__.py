"""What travels inside the service, and how rows are assembled. The ground floor: no socket, no clock."""
