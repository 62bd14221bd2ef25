from django.urls import path

from metering import api

urlpatterns = [
    path("budgets", api.BudgetListView.as_view()),
    path("budgets/<str:budget_id>", api.BudgetDetailView.as_view()),
    path("prices", api.PriceListView.as_view()),
    path("prices/<str:price_id>", api.PriceDetailView.as_view()),
    path("usage", api.UsageView.as_view()),
]
