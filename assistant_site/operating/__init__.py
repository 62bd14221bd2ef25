"""What an operator works with, over all apps: the dashboard, tenants' pages, the run inspector, roles, and seeding."""
