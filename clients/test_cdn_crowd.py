"""One fetch for a crowd: how many ask the origin, who waits for whom, and who does not."""

import threading

import pytest
from cdn_origin import Fault, Gate
from cdn_world import in_threads
from conftest import eventually
from wire import Truncated, Wire

CROWD = 500
NOT_KEPT = (("Cache-Control", "no-store"),)


def head_and(wire, size):
    """The head of an answer, and this many bytes of its body; chunks are taken apart."""
    response = wire.head()
    body = b""
    while len(body) < size:
        if response.get("transfer-encoding"):
            body += wire.exactly(int(wire.line(), 16))
            wire.line()
        else:
            body += wire.exactly(size - len(body))
    return response, body


@pytest.mark.parametrize("size", [1000, 300_000])
@pytest.mark.parametrize("at", [None, 500], ids=["before-the-head", "within-the-body"])
def test_five_hundred_clients_on_a_cold_object_are_one_fetch(world, size, at):
    world.needs("coalesce")
    gate = Gate(at)
    thing = world.put(size=size, gate=gate)

    def all_have_asked():
        gate.reached()
        gate.open()

    got = world.many(thing, CROWD, between=all_have_asked)
    assert [(one.status, one.whole, one.version) for one in got] == [(200, True, 1)] * CROWD
    assert len(thing.asked) == 1


def test_who_waits_gets_the_body_as_it_comes(world):
    world.needs("stream")
    gate = Gate(150_000)
    thing = world.put(size=300_000, gate=gate)
    wires = [world.ask(thing) for _ in range(3)]
    gate.reached()
    wires += [world.ask(thing) for _ in range(3)]
    for wire in wires:
        # Some of the half that has come may still be on its way; nothing of the rest can be.
        response, body = head_and(wire, 100_000)
        assert response.status == 200 and body[:100_000] == thing.body(thing.asked[0]).bytes(0, 100_000)
    assert not gate.opened.is_set() and len(thing.asked) == 1
    gate.open()
    for wire in wires:
        wire.close()
    assert world.get(thing).whole


def test_the_first_client_s_leaving_is_nobody_s_loss(world):
    world.needs("coalesce")
    gate = Gate(100_000)
    thing = world.put(size=300_000, gate=gate)
    first = world.ask(thing)
    gate.reached()
    second = world.ask(thing)
    first.close()
    gate.open()
    got = world.answer(second, thing)
    assert got.whole and got.version == 1
    assert world.get(thing).whole and len(thing.asked) <= 2


def test_a_client_that_does_not_read_holds_up_nobody(world):
    """Twelve megabytes are more than the kernel takes for it."""
    world.needs("coalesce")
    thing = world.put(size=12_000_000)
    with Wire(world.port, receive_buffer=4096) as idle:
        idle.send(f"GET {thing.path} HTTP/1.1\r\nHost: cdn.test\r\n\r\n")
        eventually(lambda: thing.asked)
        got = world.get(thing, timeout=60)
        assert got.whole and got.version == 1


def test_answers_that_are_not_kept_are_not_given_one_after_the_other(world):
    """Once it is known that an answer is not kept, nobody waits for another's."""
    world.needs("strict")
    thing = world.put(fields=NOT_KEPT)
    world.get(thing)
    together = threading.Barrier(20)

    def wait_for_the_others(exchange):
        together.wait(10)
        exchange.respond(200, thing.body(exchange.request).bytes(), [("X-Body", thing.body(exchange.request).told), *NOT_KEPT])

    world.origin.publish(thing, instead=wait_for_the_others)
    got = world.many(thing, 20)
    assert [one.version for one in got] == [2] * 20 and len(thing.asked) == 21


def test_a_crowd_on_an_answer_that_turns_out_not_to_be_kept_is_served_without_a_queue(world):
    """The first answer says no-store: then all others go at once, each for its own."""
    world.needs("strict")
    crowd, gate = 30, Gate()
    thing = world.put(fields=NOT_KEPT, gate=gate)
    rest = threading.Barrier(crowd - 1)

    def all_the_others(exchange):
        rest.wait(10)
        exchange.respond(200, thing.body(exchange.request).bytes(), [("X-Body", thing.body(exchange.request).told), *NOT_KEPT])

    def first_alone():
        gate.reached()
        world.origin.publish(thing, instead=all_the_others)
        gate.open()

    got = world.many(thing, crowd, between=first_alone)
    assert sorted(one.version for one in got) == [1] + [2] * (crowd - 1) and len(thing.asked) == crowd


def test_who_waits_too_long_goes_alone(world):
    world.needs("deadline")
    gate = Gate()
    thing = world.put(gate=gate)
    first = world.ask(thing)
    gate.reached()
    world.origin.publish(thing, gate=None)
    got = world.get(thing)
    assert got.whole and got.version == 2, "it waited for one who never came"
    gate.open()
    # The late answer is older than the one that is kept by now.
    assert world.answer(first, thing).status in (200, 502, 504)
    assert world.get(thing).version == 2


def test_a_crowd_whose_fetch_breaks_off_is_told_so_or_served_anew(world):
    world.needs("coalesce")
    gate = Gate(50_000)
    thing = world.put(size=100_000, gate=gate, fault=Fault("reset", 60_000))

    def break_off():
        gate.reached()
        world.origin.publish(thing, gate=None, fault=None)
        gate.open()

    for one in world.many(thing, 50, between=break_off):
        assert not one.whole or one.status >= 500 or one.version == 2
    assert world.get(thing).version == 2


def test_clients_that_come_and_go_never_see_another_s_bytes(world):
    """Many objects, many clients that break off anywhere, on connections that are kept."""
    world.needs("coalesce")
    things = [world.put(size=size, framing=framing) for size in (0, 100, 70_000, 400_000) for framing in ("length", "chunked")]

    def visit(number):
        for turn in range(40):
            thing = things[(number * 7 + turn * 3) % len(things)]
            wire = world.ask(thing)
            if turn % 4 == 3:
                try:
                    head_and(wire, min(thing.size, 50_000))
                except (Truncated, OSError):
                    pass
                wire.close()
                continue
            got = world.answer(wire, thing)
            assert got.whole and got.version == 1
            wire.close()

    in_threads(*(lambda number=number: visit(number) for number in range(16)))
    world.needs("empty")
    assert all(len(thing.asked) == 1 for thing in things)
