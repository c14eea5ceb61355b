import pytest

from app.main import app, database

TEA = {"name": "tea", "target": "https://example.com/tea"}


def test_link_leads_to_its_target(client):
    assert client.post("/links", json=TEA).status_code == 201
    assert client.get("/tea").headers["location"] == "https://example.com/tea"


@pytest.mark.parametrize("target", ["https://example.com/1", "https://example.com/2"])
def test_name_is_free_in_every_test_and_then_taken(client, target):
    assert client.post("/links", json=TEA | {"target": target}).status_code == 201
    assert client.post("/links", json=TEA).status_code == 409


def test_reserved_name_is_refused(client):
    assert client.post("/links", json=TEA | {"name": "admin"}).status_code == 422


def test_clicks_are_counted(client):
    client.post("/links", json=TEA)
    client.get("/tea")
    client.get("/tea")
    assert client.get("/links/tea/clicks").json() == 2
    assert client.get("/links/cake/clicks").json() == 0


def test_target_is_cached(client, real_redis):
    client.post("/links", json=TEA)
    client.get("/tea")
    assert real_redis.client().ttl("link:tea") > 0


def test_database_is_not_asked_for_what_is_cached(client, real_redis):
    real_redis.client().set("link:old", "https://example.com/old")
    assert client.get("/old").headers["location"] == "https://example.com/old"


def test_dependency_may_lead_to_a_connection_of_the_test(client, real_postgres):
    # What the application does is seen before it is committed, and can be rolled back.
    with real_postgres.connect() as db:
        app.dependency_overrides[database] = lambda: db
        try:
            client.post("/links", json=TEA)
        finally:
            app.dependency_overrides.clear()
        assert db.execute("SELECT name FROM link").fetchall() == [("tea",)]
        db.rollback()
    assert client.get("/tea").status_code == 404
