"""How HTTP is spoken: exact JSON, the two dialects, errors, ids, paging, correlation, other origins."""
