"""Logins of one user on several devices, in memory: python examples/logins.py"""

from msgspec import Struct

from sessiontracker import OwnedSession, SessionLimitError, SessionNotFoundError, SessionTracker


class Profile(Struct):  # what all of a user's logins see
    theme: str = "light"


class Login(OwnedSession[Profile]):
    device: str


LOGIN = {"idle_timeout": "30d", "absolute_timeout": "off", "max_per_owner": 3}

with SessionTracker({"sessions": {"login": LOGIN}}) as tracker:
    laptop = tracker.start(Login(owner="alice", device="laptop"))
    phone = tracker.start(Login(owner="alice", device="phone"), idle_timeout="90d")

    visitor = tracker.start(Login(device="library"))  # nobody's yet
    cookie = visitor.key
    library = tracker.rotate(visitor, owner="alice")  # at login: a new key, and an owner
    try:
        tracker.get(Login, cookie)
    except SessionNotFoundError:
        print("old cookie:     dead")
    print("new cookie:    ", tracker.get(Login, library.key).device)

    try:
        tracker.start(Login(owner="alice", device="tablet"))
    except SessionLimitError as error:
        print("tablet refused:", error.count, "devices already")

    with tracker.edit_shared(Login, "alice") as profile:
        profile.theme = "dark"
    print("on the phone:  ", tracker.get(Login, phone.key).shared.theme)

    page = {login.device: login.id for login in tracker.list_sessions(Login, "alice")}
    print("devices:       ", sorted(page))
    tracker.finish(Login, id=page["library"])  # the page's button "log this one out"
    print("left:          ", tracker.count_sessions(Login, "alice"))

    ended = tracker.finish_all(Login, "alice", keep=laptop)  # "log out everywhere else"
    print("ended at once: ", ended)
    print("still in:      ", [login.device for login in tracker.list_sessions(Login, "alice")])
