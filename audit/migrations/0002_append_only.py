"""Entries are added and never changed, also by those who write SQL."""

from django.db import migrations

# What a session may do nevertheless, by settings of its own: remove entries that are older than the moment in
# `holdfast.audit_pruned_before` (manage.py prune_audit), and empty the table of a test database.
GUARD = """
CREATE FUNCTION audit_entries_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND OLD.at < nullif(current_setting('holdfast.audit_pruned_before', true), '')::timestamptz THEN
    RETURN OLD;
  END IF;
  IF TG_OP = 'TRUNCATE' AND current_setting('holdfast.audit_may_be_emptied', true) = 'on' THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION 'The audit log is append-only: % is refused', TG_OP
    USING ERRCODE = 'insufficient_privilege', HINT = 'manage.py prune_audit removes old entries.';
END $$;
CREATE TRIGGER audit_entries_stay BEFORE UPDATE OR DELETE ON audit_auditentry
  FOR EACH ROW EXECUTE FUNCTION audit_entries_stay();
CREATE TRIGGER audit_entries_stay_together BEFORE TRUNCATE ON audit_auditentry
  FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_stay();
"""
UNGUARD = """
DROP TRIGGER audit_entries_stay ON audit_auditentry;
DROP TRIGGER audit_entries_stay_together ON audit_auditentry;
DROP FUNCTION audit_entries_stay();
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_saas")]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
