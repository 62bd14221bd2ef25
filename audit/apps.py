from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        from django.contrib.auth import signals

        from audit import staff

        signals.user_logged_in.connect(staff.logged_in, dispatch_uid="audit.logged_in")
        signals.user_logged_out.connect(staff.logged_out, dispatch_uid="audit.logged_out")
        signals.user_login_failed.connect(staff.login_failed, dispatch_uid="audit.login_failed")
