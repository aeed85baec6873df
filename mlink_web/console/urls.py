"""Routes of the console, all below /admin/."""

from django.urls import path

from mlink_web.console.views import domains, overview, sessions, users

app_name = "console"
urlpatterns = [
    path("", overview.overview, name="overview"),
    path("sessions/", sessions.sessions, name="sessions"),
    path("sessions/end", sessions.end_session, name="session-end"),
    path("users/", users.users, name="users"),
    path("users/add/", users.add_user, name="user-add"),
    path("users/<int:pk>/", users.user, name="user"),
    path("users/<int:pk>/password", users.set_password, name="user-password"),
    path("users/<int:pk>/state", users.set_state, name="user-state"),
    path("users/<int:pk>/move", users.move_user, name="user-move"),
    path("users/<int:pk>/move-back", users.move_back, name="user-move-back"),
    path("users/<int:pk>/remove/", users.remove_user, name="user-remove"),
    path("domains/", domains.domains, name="domains"),
    path("domains/add/", domains.add_domain, name="domain-add"),
    path("domains/<int:pk>/", domains.change_domain, name="domain"),
]
