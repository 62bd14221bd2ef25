from django.apps import AppConfig


class MeteringConfig(AppConfig):
    name = "metering"

    def ready(self) -> None:
        from assistant_site.wire.rest import WireView
        from metering.rates import admit_end_user, admit_request
        from tenants import end_users

        WireView.admissions.append(admit_request)
        end_users.ADMISSIONS.append(admit_end_user)
