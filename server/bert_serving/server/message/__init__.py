"""What travels inside the service, and how rows are put together. The ground floor: no socket, no clock."""
