"""Several nodes that keep the same: a purge at one holds at all, and whoever may have missed one asks the origin first."""

import json
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import dns.message
import dns.query
import pytest
from cdn_origin import Origin
from cdn_world import World
from conftest import Nines, free_port

TAGGED = (("Cache-Control", "max-age=600"), ("Surrogate-Key", "everything"))
SILENT = 3


class Place(Nines):
    """A node whose admin API is where the others are told that it is."""

    def __init__(self, binary, folder, rest, admin, port=None):
        self.binary, self.port, self.admin, self.folder = binary, port or free_port(), admin, folder
        self.https = None
        self.file, self.log = folder / "nines.toml", folder / "log"
        self.head = (f'[node]\ndata = "{folder}/data"\nadmin = "127.0.0.1:{admin}"\n\n'
                     f'[edge]\nhttp = ["127.0.0.1:{self.port}"]\ncores = 1\n'
                     'trust_forwarded = ["127.0.0.1/32"]\n')
        self.write(rest)
        self.begin()

    def kill(self):
        self.process.kill()
        self.process.wait()


STATES = ("nines_cdn_node_silent", "nines_cdn_node_down", "nines_cdn_node_pending")


class Places:
    """Nodes before one origin."""

    def __init__(self, binary, folders, count, shield=False):
        self.origin = Origin()
        self.admins, ports = [free_port() for _ in range(count)], [free_port() for _ in range(count)]
        self.shield = ports[-1] if shield else None
        self.nodes = [Place(binary, folder, self.file(), admin, port)
                      for folder, admin, port in zip(folders, self.admins, ports)]
        self.worlds = [World("nines", node, self.origin) for node in self.nodes]

    def file(self):
        nodes = ", ".join(f'"127.0.0.1:{admin}"' for admin in self.admins)
        shield = f'shield = "shield"\n[pool.shield]\nservers = ["127.0.0.1:{self.shield}"]\neject = {{ failures = 0 }}\n'
        return f"""
[pool.all]
servers = ["127.0.0.1:{self.origin.port}"]
eject = {{ failures = 0 }}
retry = {{ budget = "0%" }}
[cdn]
memory = "16MiB"
disk = "64MiB"
purge = ["127.0.0.1/32"]
nodes = [{nodes}]
nodes_silent = "{SILENT}s"
{shield if self.shield else ""}
[site.default]
limit = {{ requests_per_client = "1000/s", burst = 1000 }}
[site.default.route]
"/" = {{ pool = "all", cache = "cdn", response_headers = {{ set = {{ "x-place" = "here" }}, remove = ["x-made-by"] }} }}
"""

    def level(self):
        """All run and have heard all: what is kept is served."""
        for node in self.nodes:
            # In one look: a node that was down is silent for a moment before it is heard.
            until(lambda node=node: not any(value for name, value in node.metrics().items() if name.startswith(STATES)))

    def purge(self, at, **what):
        answer = json.loads(self.worlds[at].purge(**what))
        return answer["nodes"]["acknowledged"], answer["nodes"]["pending"]

    def address(self, at):
        return f"127.0.0.1:{self.admins[at]}"

    def warm(self, thing):
        """Every node serves it without the origin."""
        for world in self.worlds:
            world.warm(thing)

    def stop(self):
        for node in self.nodes:
            node.process.send_signal(signal.SIGCONT)
            node.stop()
        self.origin.stop()


def until(condition, seconds=15):
    """What is looked for is state of another process; it is looked at until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


@pytest.fixture
def places(binary, tmp_path_factory):
    made = []

    def make(count):
        made.append(Places(binary, [tmp_path_factory.mktemp("place") for _ in range(count)], count))
        made[-1].level()
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_a_purge_at_any_node_is_seen_by_the_next_request_at_each(places):
    world = places(3)
    for at in range(3):
        thing = world.origin.put(fields=TAGGED)
        world.warm(thing)
        world.origin.publish(thing)
        assert [one.get(thing).version for one in world.worlds] == [1, 1, 1]
        acknowledged, pending = world.purge(at, tag="everything")
        assert (acknowledged, pending) == (2, [])
        assert [one.get(thing).version for one in world.worlds] == [2, 2, 2]


def test_the_purge_method_and_unsafe_methods_reach_all_nodes(places):
    world = places(2)
    one, other = world.worlds
    thing = world.origin.put()
    world.warm(thing)
    world.origin.publish(thing)
    assert one.purge_url(thing) == 200
    assert other.get(thing).version == 2
    world.warm(thing)
    world.origin.publish(thing)
    assert other.get(thing, method="POST").status == 200
    until(lambda: one.get(thing).version == 3)


def test_the_command_says_who_has_not_heard_of_it(places):
    world = places(2)
    node, other = world.nodes
    command = [node.binary, "purge", "--tag", "everything", "--file", node.file]
    run = lambda: subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    assert run() == "tag everything is purged, here and at 1 more\n"
    other.kill()
    assert run() == f"tag everything is purged, here; not yet at {world.address(1)}\n"


def test_a_node_that_was_killed_serves_nothing_older_than_a_purge_meanwhile(places):
    world = places(3)
    things = [world.origin.put(fields=TAGGED) for _ in range(20)]
    for thing in things:
        world.warm(thing)
    stop = threading.Event()
    purged = []

    def purge_on():
        while not stop.is_set():
            thing = things[len(purged) % len(things)]
            version = world.origin.publish(thing)
            world.purge(0, url=world.worlds[0].url(thing.path))
            purged.append((thing, version))

    purger = threading.Thread(target=purge_on)
    purger.start()
    until(lambda: len(purged) > 5)
    world.nodes[2].kill()
    # Each waits for the node that is gone.
    until(lambda: len(purged) > 8)
    stop.set()
    purger.join(30)
    world.nodes[2].begin()
    last = {thing.path: version for thing, version in purged}
    for thing in things:
        got = world.worlds[2].get(thing)
        assert got.version >= last.get(thing.path, 1), "older than an acknowledged purge"
    world.level()
    for thing, one in ((thing, one) for thing in things for one in world.worlds):
        assert one.get(thing).version >= last.get(thing.path, 1)


def test_a_node_that_was_cut_off_asks_the_origin_first_and_catches_up(places):
    world = places(2)
    thing, quiet = world.origin.put(fields=TAGGED), world.origin.put()
    for one in (thing, quiet):
        world.warm(one)
    world.nodes[1].process.send_signal(signal.SIGSTOP)
    world.origin.publish(thing)
    begun = time.monotonic()
    assert world.purge(0, url=world.worlds[0].url(thing.path)) == (0, [world.address(1)])
    # Older than that a purge is not missed by anybody.
    until(lambda: time.monotonic() > begun + SILENT)
    until(lambda: world.nodes[0].metric("nines_cdn_node_silent") == 1)
    # The one that goes on confirms what it has while the other is silent.
    asked = len(quiet.asked)
    assert world.worlds[0].get(quiet).version == 1
    assert len(quiet.asked) == asked + 1 and quiet.asked[-1].get("if-none-match")
    world.nodes[1].process.send_signal(signal.SIGCONT)
    # And the one that comes back does, from its first request on.
    assert world.worlds[1].get(thing).version == 2
    world.level()
    asked = len(quiet.asked)
    assert [one.get(quiet).version for one in world.worlds] == [1, 1]
    assert len(quiet.asked) == asked, "all were heard: what is kept is served"


def test_where_the_origin_is_down_too_what_is_kept_is_served(places):
    world = places(2)
    thing = world.origin.put()
    world.warm(thing)
    world.nodes[1].process.send_signal(signal.SIGSTOP)
    until(lambda: world.nodes[0].metric("nines_cdn_node_silent") == 1)
    world.origin.die()
    got = world.worlds[0].get(thing)
    assert got.status == 200 and got.version == 1
    world.origin.revive()


def test_a_node_that_does_not_run_costs_one_confirmation(places):
    world = places(2)
    thing = world.origin.put()
    world.warm(thing)
    world.nodes[1].kill()
    until(lambda: world.nodes[0].metric("nines_cdn_node_down") == 1)
    with urllib.request.urlopen(f"http://{world.address(0)}/api/v1/cdn", timeout=10) as answer:
        assert [(node["address"], node["state"]) for node in json.load(answer)["nodes"]] == [(world.address(1), "down")]
    asked = len(thing.asked)
    for _ in range(3):
        assert world.worlds[0].get(thing).version == 1
    assert len(thing.asked) == asked + 1


def test_a_node_that_stops_in_order_costs_nothing(places):
    world = places(2)
    thing = world.origin.put()
    world.warm(thing)
    world.nodes[1].stop()
    assert world.nodes[0].metric("nines_cdn_node_down") == 1, "it has said so"
    asked = len(thing.asked)
    assert world.worlds[0].get(thing).version == 1
    assert len(thing.asked) == asked
    world.nodes[1].begin()
    world.level()
    assert world.worlds[1].get(thing).version == 1
    assert len(thing.asked) == asked, "it was on the disk, and all were heard"


def test_a_node_is_added_by_a_reload(places, binary, tmp_path_factory):
    world = places(1)
    thing = world.origin.put(fields=TAGGED)
    world.warm(thing)
    world.admins.append(free_port())
    world.nodes.append(Place(binary, tmp_path_factory.mktemp("place"), world.file(), world.admins[1]))
    world.worlds.append(World("nines", world.nodes[1], world.origin))
    world.nodes[0].reload(world.file())
    world.level()
    world.warm(thing)
    world.origin.publish(thing)
    assert world.purge(1, tag="everything") == (1, [])
    assert [one.get(thing).version for one in world.worlds] == [2, 2]


def test_other_nodes_are_asked_for_nothing_by_who_has_no_message(places):
    world = places(1)
    request = urllib.request.Request(f"http://{world.address(0)}/api/v1/cdn/exchange", method="POST", data=b"what")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 400


def test_dns_sends_a_client_to_the_nearest_node_and_elsewhere_when_that_is_down(places, start):
    world = places(2)
    pools = "".join(f'[pool.{at}]\nservers = ["127.0.0.1:{node.port}"]\n'
                    'health = { http = "/healthy", every = "100ms", fall = 1, rise = 1 }\n'
                    for at, node in zip(("near", "far"), world.nodes))
    world.origin.put("/healthy")
    port = free_port()
    start(f"""{pools}
[dns]
listen = "127.0.0.1:{port}"
[dns.place.eu]
networks = ["127.0.0.0/8"]
[dns.place.us]
networks = ["192.0.2.0/24"]
[dns.zone."shop.test"]
records = ["@ SOA ns1 a 1 1d 2h 4w 5m", "@ NS ns1", "ns1 A 192.0.2.1"]
ttl = "5m"
[dns.zone."shop.test".route.www]
ttl = "1s"
choose = ["healthy", "nearest"]
answers = [
    {{ pool = "near", at = "eu", addresses = ["192.0.2.10"] }},
    {{ pool = "far", at = "us", addresses = ["192.0.2.20"] }},
]
[site.default.route]
"/" = {{ pool = "near" }}
""")

    def answer():
        query = dns.message.make_query("www.shop.test", "A")
        return {str(record) for found in dns.query.udp(query, "127.0.0.1", port=port, timeout=5).answer for record in found}

    until(lambda: answer() == {"192.0.2.10"})
    world.nodes[0].kill()
    until(lambda: answer() == {"192.0.2.20"})
    world.nodes[0].begin()
    until(lambda: answer() == {"192.0.2.10"})


# --- two tiers ---

TIERED = (("Cache-Control", "max-age=1"), ("CDN-Cache-Control", "max-age=600"), ("Surrogate-Key", "everything"))


@pytest.fixture
def tiers(binary, tmp_path_factory):
    """Two edges and a shield, which is the last."""
    world = Places(binary, [tmp_path_factory.mktemp("place") for _ in range(3)], 3, shield=True)
    world.level()
    yield world
    world.stop()


def test_one_fetch_at_the_origin_is_enough_for_all_edges(tiers):
    thing = tiers.origin.put(fields=TIERED)
    got = [world.get(thing) for world in tiers.worlds[:2]]
    assert [one.version for one in got] == [1, 1]
    assert len(thing.asked) == 1
    for one in got:
        assert not one.response.all("surrogate-key") and not one.response.all("cdn-cache-control")
        assert not one.response.all("nines-fetched") and not one.response.all("nines-fetch")
    asked = thing.asked[0]
    assert asked.get("host") == "cdn.test" and asked.get("x-forwarded-for").startswith("127.0.0.1")
    assert "nines; node=" in asked.get("cdn-loop")
    assert not any("nines-fetch" == name.lower() for name, _ in asked.headers)


def test_what_one_node_tells_clients_is_not_what_another_keeps(tiers):
    """Were it kept, it would stand beside that node's own; and what is removed for clients would be gone for nodes."""
    thing = tiers.origin.put(fields=TIERED + (("X-Made-By", "shop"),))
    for _ in range(2):
        got = tiers.worlds[0].get(thing)
        for name in ("x-place", "ratelimit", "x-request-id"):
            assert len(got.response.all(name)) == 1, name
        assert not got.response.all("x-made-by")
    assert len(thing.asked) == 1


def test_a_purge_by_tag_reaches_both_tiers_and_no_edge_fills_with_what_was_before(tiers):
    thing = tiers.origin.put(fields=TIERED)
    for at in (0, 1, 2, 0):
        for world in tiers.worlds:
            world.get(thing)
        version = tiers.origin.publish(thing)
        assert tiers.worlds[0].get(thing).version < version
        tiers.purge(at, tag="everything")
        assert [world.get(thing).version for world in tiers.worlds] == [version] * 3


def test_an_edge_whose_shield_has_not_heard_of_a_purge_asks_the_origin(tiers):
    thing = tiers.origin.put(fields=TIERED)
    for world in tiers.worlds:
        world.get(thing)
    tiers.nodes[2].process.send_signal(signal.SIGSTOP)
    tiers.origin.publish(thing)
    purged = threading.Thread(target=tiers.purge, args=(0,), kwargs={"tag": "everything"})
    purged.start()
    got = []
    # It is asked while the shield sleeps, and answers when it wakes up: with nothing that is older.
    fetch = threading.Thread(target=lambda: got.append(tiers.worlds[0].get(thing)))
    purged.join(10)
    fetch.start()
    tiers.nodes[2].process.send_signal(signal.SIGCONT)
    fetch.join(20)
    assert got[0].version == 2
    tiers.level()
    assert [world.get(thing).version for world in tiers.worlds] == [2, 2, 2]


def test_where_the_shield_is_down_the_origin_is_asked(tiers):
    tiers.nodes[2].kill()
    thing = tiers.origin.put(fields=TIERED)
    assert [world.get(thing).version for world in tiers.worlds[:2]] == [1, 1]
    assert len(thing.asked) == 2


def test_no_client_gets_what_is_for_nodes(tiers):
    thing = tiers.origin.put(fields=TIERED)
    for world in tiers.worlds:
        got = world.get(thing, [("Nines-Fetch", "0" * 31 + "7"), ("CDN-Loop", "nines; node=" + "0" * 31 + "7")])
        assert got.version == 1 and not got.response.all("surrogate-key")


def test_a_request_that_was_here_before_is_refused(tiers):
    thing = tiers.origin.put(fields=TIERED)
    tiers.worlds[0].get(thing)
    loop = thing.asked[0].get("cdn-loop")
    last = loop.split(",")[-1].strip()
    answers = [world.get(tiers.origin.put(fields=TIERED), [("CDN-Loop", last)]).status for world in tiers.worlds]
    assert sorted(answers) == [200, 200, 508]
