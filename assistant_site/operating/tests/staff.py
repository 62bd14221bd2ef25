"""Members of the staff, signed in."""

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client

ROLES = ("operator", "support", "auditor")


def member(role: str) -> Client:
    """Somebody with this role; `superuser` for one with all rights, `` for one with none."""
    users = get_user_model().objects
    name = f"the {role or 'newcomer'}"
    user = users.filter(username=name).first()
    if user is None:
        user = users.create_user(name, is_staff=True, is_superuser=role == "superuser")  # no password: that takes long
        if role in ROLES:
            user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def text_of(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, (address, answer.status_code)
    return answer.content.decode()
