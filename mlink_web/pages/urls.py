"""Routes of the pages of everybody."""

from django.urls import path
from django.views.generic import RedirectView

from mlink_web.pages import password, views

urlpatterns = [
    path("", views.home, name="home"),
    path("accounts/sign-in/", views.SignIn.as_view(), name="login"),
    path("accounts/sign-out/", views.SignOut.as_view(), name="logout"),
    path("account/", RedirectView.as_view(pattern_name="devices"), name="account"),
    path("account/password/", password.own_password, name="password"),
    path("chat/", views.chat, name="chat"),
    path("chat/credentials", views.chat_credentials, name="chat-credentials"),
]
