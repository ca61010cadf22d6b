"""What is kept on disk: warm after a restart, right after any accident, and never more than was allowed."""

import os
import random
import shutil
import subprocess
import threading
from http.client import HTTPException

import cdn_world
import pytest
from cdn_origin import Origin
from conftest import eventually

KIB, MIB = 1 << 10, 1 << 20
LASTING = (("Cache-Control", "max-age=86400"), ("Surrogate-Key", "lasting"))


class Kept:
    """A nines with a disk tier, and little memory, so that the disk has something to do; and things that it was asked for."""

    def __init__(self, start, cdn, memory):
        self.origin = Origin()
        self.nines = start(cdn_world.file(self.origin.port, cdn, memory))
        self.world = cdn_world.World("nines", self.nines, self.origin)
        self.disk = self.nines.folder / "data" / cdn_world.DISK

    def fill(self, count, sizes, **more):
        drawn = random.Random(count)
        things = [self.origin.put(size=drawn.choice(sizes), fields=LASTING, **more) for _ in range(count)]
        waiting = 0
        for thing in things:
            assert self.world.get(thing).whole
            waiting += thing.size
            if waiting > 4 * MIB:
                # What a disk that is slower than the origin cannot take is not written.
                self.settle()
                waiting = 0
        return things

    def settle(self):
        """Waits until the disk has all that was kept."""
        eventually(lambda: self.nines.metric("nines_cdn_disk_queued_bytes") == 0, seconds=60)

    def restart(self, kill=False):
        if kill:
            self.nines.process.kill()
            self.nines.process.wait()
        else:
            self.nines.stop()
        self.nines.begin()

    def hits(self, things):
        """How many of them are served without the origin; all are served right."""
        before = [len(thing.asked) for thing in things]
        for thing in things:
            got = self.world.get(thing)
            assert got.whole and got.status == 200
        return sum(len(thing.asked) == asked for thing, asked in zip(things, before))

    def bytes(self):
        """What the files take, in blocks of the file system."""
        total = 0
        for folder, _, names in os.walk(self.disk):
            for name in names:
                try:
                    total += os.stat(os.path.join(folder, name)).st_blocks * 512
                except FileNotFoundError:  # dropped in between
                    pass
        return total


@pytest.fixture
def kept(start):
    made = []

    def make(cdn='disk = "256MiB"', memory="16MiB"):
        made.append(Kept(start, cdn, memory))
        return made[-1]

    yield make
    for one in made:
        one.nines.stop()
        one.origin.stop()
        assert one.origin.failures == []


# --- restarts ---

def test_it_is_warm_after_a_restart(kept):
    cache = kept()
    things = cache.fill(100, [0, 100, 5000, 64 * KIB, 700 * KIB])
    cache.restart()
    assert cache.hits(things) == len(things)
    assert cache.world.get(things[1], [("Range", "bytes=10-19")]).status in (200, 206)


def test_variants_come_back_as_they_were(kept):
    cache = kept()
    thing = cache.origin.put(vary=("X-Shape",), fields=LASTING)
    shapes = ["round", "square", "flat"]
    for shape in shapes:
        cache.world.get(thing, [("X-Shape", shape)])
    cache.restart()
    assert [cache.world.get(thing, [("X-Shape", shape)]).body.variant for shape in shapes] == shapes
    assert len(thing.asked) == 3


def test_an_age_goes_on_over_a_restart(kept):
    cache = kept()
    thing = cache.origin.put(fields=(("Cache-Control", "max-age=600"), ("Age", "500")))
    cache.world.warm(thing)
    cache.restart()
    assert 500 <= cache.world.get(thing).age < 560
    assert len(thing.asked) == 1


def test_a_head_is_answered_by_what_is_on_disk(kept):
    cache = kept()
    thing = cache.origin.put(size=5000, fields=LASTING)
    cache.world.warm(thing)
    cache.restart()
    got = cache.world.get(thing, method="HEAD")
    assert (got.status, got.response.get("content-length")) == (200, "5000")
    assert cache.world.status(got)["hit"] is True and len(thing.asked) == 1


def test_what_is_on_disk_alone_goes_when_a_head_says_that_it_has_changed(kept):
    cache = kept()
    thing = cache.origin.put(size=5000, fields=LASTING)
    cache.world.warm(thing)
    cache.restart()
    cache.origin.publish(thing, size=6000)
    got = cache.world.get(thing, [("Cache-Control", "no-cache")], method="HEAD")
    assert got.response.get("content-length") == "6000"
    assert cache.world.get(thing).version == 2


def test_what_stands_in_from_the_disk_is_told_as_stale(kept):
    cache = kept()
    thing = cache.origin.put(fields=(("Cache-Control", "max-age=5, stale-if-error=600"), ("Age", "10")))
    assert cache.world.get(thing).version == 1
    cache.restart()
    cache.origin.publish(thing, instead=lambda exchange: exchange.respond(503, b"", reason="No"))
    got = cache.world.get(thing)
    status = cache.world.status(got)
    assert got.version == 1 and "hit" not in status and int(status["ttl"]) < 0, status
    assert cache.nines.metric("nines_cdn_requests_total", site="default", cache="stale") == 1


@pytest.mark.parametrize("what", ["url", "prefix", "tag", "all"])
def test_an_acknowledged_purge_holds_after_kill_9(kept, what):
    cache = kept()
    things = cache.fill(30, [100, 100 * KIB])
    cache.restart()
    assert cache.hits(things) == 30
    for thing in things:
        cache.origin.publish(thing)
    named = {"url": [{"url": cache.world.url(thing.path)} for thing in things], "prefix": [{"prefix": cache.world.url("/thing-")}],
             "tag": [{"tag": "lasting"}], "all": [{"all": True}]}
    for one in named[what]:
        cache.world.purge(**one)
    cache.restart(kill=True)
    assert [cache.world.get(thing).version for thing in things] == [2] * 30


# --- accidents ---

@pytest.mark.timeout(300)
def test_kill_9_in_the_midst_of_fills_never_leaves_a_wrong_byte(kept):
    """Clients, new versions and purges, killed after so many answers, again and again."""
    cache = kept('disk = "32MiB"')
    sizes = [0, 1, 3000, 64 * KIB, 64 * KIB + 1, 400 * KIB, MIB]
    drawn = random.Random(9)
    things = [cache.origin.put(size=drawn.choice(sizes), framing=drawn.choice(["length", "chunked"]), fields=LASTING)
              for _ in range(120)]
    floors = {thing.path: 1 for thing in things}
    for number in range(8):
        over, answers = threading.Event(), threading.Semaphore(0)

        def read(seed):
            chosen = random.Random(seed)
            while not over.is_set():
                thing = chosen.choice(things)
                floor = floors[thing.path]
                try:
                    got = cache.world.get(thing)
                except OSError:  # it is dead
                    continue
                if got.whole and got.status == 200:
                    assert got.version >= floor
                answers.release()

        def purge():
            chosen = random.Random(number)
            while not over.is_set():
                thing = chosen.choice(things)
                version = cache.origin.publish(thing)
                try:
                    cache.world.purge(url=cache.world.url(thing.path))
                except (OSError, HTTPException):  # not acknowledged
                    continue
                floors[thing.path] = version

        def end():
            try:
                for _ in range(drawn.randrange(50, 400)):
                    assert answers.acquire(timeout=20)
                cache.nines.process.kill()
                cache.nines.process.wait()
            finally:
                over.set()

        cdn_world.in_threads(*(lambda seed=seed: read(seed) for seed in range(6)), purge, end)
        cache.nines.begin()
        for thing in things:
            got = cache.world.get(thing)
            assert got.whole and got.version >= floors[thing.path]


def flip(data, drawn):
    for _ in range(max(1, len(data) // 20_000)):
        data[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)


def cut(data, drawn):
    del data[drawn.randrange(len(data)):]


def swap(data, drawn):
    """Two pages change places: each is whole, and belongs elsewhere."""
    pages = len(data) // 4096
    for _ in range(pages // 8 + 1):
        one, other = (drawn.randrange(max(1, pages)) * 4096 for _ in range(2))
        data[one:one + 4096], data[other:other + 4096] = data[other:other + 4096], data[one:one + 4096]


DAMAGES = {
    "bits": flip, "cut": cut, "swapped": swap, "longer": lambda data, drawn: data.extend(drawn.randbytes(10_000)),
    "zeroes": lambda data, drawn: data.__setitem__(slice(len(data) // 2, None), bytes(len(data) - len(data) // 2)),
    "doubled": lambda data, drawn: data.extend(data), "emptied": lambda data, drawn: data.clear(),
    "noise": lambda data, drawn: data.__setitem__(slice(None), drawn.randbytes(len(data))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_cost_what_was_in_them_and_no_more(kept, damage):
    cache = kept()
    things = cache.fill(250, [0, 100, 5000, 100 * KIB, 500 * KIB])
    cache.nines.stop()
    files = sorted(path for path in cache.disk.rglob("*") if path.is_file() and path.stat().st_size)
    assert files, f"nothing is kept in {cache.disk}"
    drawn = random.Random(damage)
    for path in files:
        data = bytearray(path.read_bytes())
        DAMAGES[damage](data, drawn)
        path.write_bytes(data)
    cache.nines.begin()
    cache.hits(things)
    assert cache.hits(things) == len(things), "what was lost is fetched and kept again"


def test_files_that_are_gone_or_not_ours_are_no_obstacle(kept):
    cache = kept()
    things = cache.fill(40, [100, 100 * KIB])
    cache.nines.stop()
    files = sorted(path for path in cache.disk.rglob("*") if path.is_file())
    files[-1].unlink()
    shutil.copy(files[0], files[0].with_name(files[0].name + ".copy"))
    (cache.disk / "notes.txt").write_text("not ours")
    cache.nines.begin()
    cache.hits(things)
    assert (cache.disk / "notes.txt").read_text() == "not ours"


def test_a_full_disk_is_no_fault_of_an_answer(kept):
    cache = kept('disk = "64MiB"')
    cache.nines.stop()
    shutil.rmtree(cache.disk, ignore_errors=True)
    cache.disk.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", cache.disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        cache.nines.begin()
        things = cache.fill(150, [100 * KIB, 400 * KIB])
        assert shutil.disk_usage(cache.disk).free < 2 * MIB, "the disk is not full: nothing is shown"
        cache.hits(things)
        for thing in things[:10]:
            cache.origin.publish(thing)
            cache.world.purge_url(thing)
            assert cache.world.get(thing).version == 2
        cache.restart(kill=True)
        cache.hits(things)
        cache.nines.stop()
    finally:
        cache.nines.stop()
        subprocess.run(["umount", cache.disk], check=True)


# --- limits ---

def test_the_disk_takes_no_more_than_it_was_given(kept):
    cache = kept('disk = "16MiB"')
    drawn, most = random.Random(2), 0
    for _ in range(150):
        cache.fill(1, [drawn.choice([10 * KIB, 300 * KIB, MIB])])
        most = max(most, cache.bytes())
    assert 4 * MIB < most <= 16 * MIB
    cache.restart()
    assert cache.bytes() <= 16 * MIB


def test_memory_takes_no_more_than_it_was_given(kept):
    """64 MiB are given; 400 MB go through. Beside them a quarter is for bodies on their way, and another for what the allocator rounds up."""
    cache = kept("", memory="64MiB")
    before = cache.nines.memory()
    for _ in range(20):
        cache.fill(20, [MIB])
    assert cache.nines.memory() - before < (64 + 16 + 16) * MIB


def test_what_does_not_fit_in_memory_is_served_from_disk(kept):
    cache = kept('disk = "256MiB"')
    things = cache.fill(150, [MIB])
    # Nine times what memory holds; the disk holds all.
    assert cache.hits(things) == len(things)
    drawn = random.Random(3)
    for thing in drawn.sample(things, 40):
        first = drawn.randrange(MIB)
        assert cache.world.get(thing, [("Range", f"bytes={first}-{first + 70_000}")]).status == 206
    assert all(len(thing.asked) == 1 for thing in things)


def test_what_stays_on_disk_is_the_same_by_http2_to_slow_readers_and_after_it_had_to_go(kept):
    cache = kept('disk = "64MiB"', memory="8MiB")
    things = cache.fill(50, [900_000])
    cache.restart()
    thing = things[40]
    for one in things[:20]:
        assert cache.world.get(one).whole
    url = f"http://127.0.0.1:{cache.world.port}{thing.path}"
    got = subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-H", "Host: cdn.test", url], check=True, capture_output=True)
    assert got.stdout == cache.world.get(thing).response.body and len(thing.asked) == 1
    several = cache.world.get(things[42], [("Range", "bytes=5-9,800000-899999")])
    assert several.whole and several.status in (200, 206) and len(things[42].asked) == 1
    with cache.world.ask(things[41], timeout=60) as slow:
        # What it reads from goes meanwhile: others take its room on the disk.
        cache.fill(80, [901_000])
        assert cache.world.answer(slow, things[41]).whole
    assert cache.nines.metric("nines_cdn_disk_faults_total", reason="damaged") == 0
