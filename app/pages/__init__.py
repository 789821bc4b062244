"""Pages for the portfolio manager, rendered on the server from the data of the API."""
