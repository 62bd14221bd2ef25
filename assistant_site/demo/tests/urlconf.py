"""Only the demo model, where it is in the whole site."""

from django.urls import include, path

urlpatterns = [path("demo/v1/", include("assistant_site.demo.urls"))]
