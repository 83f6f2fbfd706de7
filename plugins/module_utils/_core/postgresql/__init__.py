"""A PostgreSQL cluster under Patroni: its members, leadership, roles and databases, and its second site."""
