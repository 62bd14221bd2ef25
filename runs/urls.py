from django.urls import path

from runs import api

urlpatterns = [
    path("threads/runs", api.ThreadAndRunView.as_view()),
    path("threads/<str:thread_id>/runs", api.RunListView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>", api.RunDetailView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>/cancel", api.CancelRunView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>/submit_tool_outputs", api.SubmitToolOutputsView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>/events", api.RunEventsView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>/steps", api.RunStepListView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>/steps/<str:step_id>", api.RunStepDetailView.as_view()),
]
