from django.apps import AppConfig


class MeteringConfig(AppConfig):
    name = "metering"

    def ready(self) -> None:
        from assistant_site.wire.rest import WireView
        from metering.rates import admit_request

        WireView.admissions.append(admit_request)
