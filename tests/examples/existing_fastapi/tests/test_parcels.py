import pytest

from parcels.settings import settings

TEA = {"code": "tea", "weight_g": 250}


@pytest.mark.parametrize("weight", [1, 20_000])
def test_weight_is_found_by_the_code(client, weight):
    assert client.post("/parcels", json=TEA | {"weight_g": weight}).status_code == 201
    assert client.get("/parcels/tea").json() == weight


def test_code_is_taken_once(client):
    client.post("/parcels", json=TEA)
    assert client.post("/parcels", json=TEA).status_code == 409


def test_parcel_without_weight_is_refused_by_the_database(client):
    assert client.post("/parcels", json=TEA | {"weight_g": 0}).status_code == 409


def test_unknown_parcel_is_not_found(client):
    assert client.get("/parcels/none").status_code == 404


def test_weight_is_cached(client, cache):
    client.post("/parcels", json=TEA)
    client.get("/parcels/tea")
    assert cache.ttl("weight:tea") > 0


def test_cache_is_asked_first(client, cache):
    cache.set("weight:old", 7)
    assert client.get("/parcels/old").json() == 7


def test_secret_is_long_enough():
    assert len(settings.jwt_secret.get_secret_value()) >= 32
