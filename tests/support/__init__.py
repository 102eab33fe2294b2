"""Projects, servers, stores and worlds that tests share."""
