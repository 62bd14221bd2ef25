from django.urls import path

from runs import api, end_users
from runs.mcp_server.api import AssistantMcpView, AssistantsMcpView

urlpatterns = [
    path("mcp", AssistantsMcpView.as_view()),
    path("assistants/<str:assistant_id>/mcp", AssistantMcpView.as_view()),
    path("end_users", end_users.EndUserListView.as_view()),
    path("end_users/<path:name>", end_users.EndUserDetailView.as_view()),
    path("runs", api.TenantRunListView.as_view()),
    path("threads/runs", api.ThreadAndRunView.as_view()),
    path("threads/<str:thread_id>/runs", api.RunListView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>", api.RunDetailView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>/cancel", api.CancelRunView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>/submit_tool_outputs", api.SubmitToolOutputsView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>/events", api.RunEventsView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>/trace", api.RunTraceView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>/steps", api.RunStepListView.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>/steps/<str:step_id>", api.RunStepDetailView.as_view()),
]
