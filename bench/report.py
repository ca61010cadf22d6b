"""Medians, ratios, the Markdown tables and the JSON of a run."""

import json
import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

from cases import CASES, IDLE, IDLE_TITLE

HERE = Path(__file__).parent

TITLES = {**{name: case.title for name, case in CASES.items()}, IDLE: IDLE_TITLE}

# Key, title, form; a row where a case has that figure.
COLUMNS = [
    ("cpu_us", "Server CPU per request, µs", "{:,.1f}"),
    ("cpu_ms_per_gb", "Server CPU per GB forwarded, ms", "{:,.0f}"),
    ("handshakes_per_cpu_s", "Handshakes per second of server CPU (more is better)", "{:,.0f}"),
    ("datagrams_per_cpu_s", "Datagrams forwarded per second of server CPU (more is better)", "{:,.0f}"),
    ("per_second", "Requests per second (more is better)", "{:,.0f}"),
    ("gb_per_second", "Throughput, GB/s (more is better)", "{:.2f}"),
    ("encoded_bytes", "Length of the page of 100,000 bytes, encoded", "{:,.0f}"),
    ("p99_us", "p99 latency, µs", "{:,.0f}"),
    ("idle_bytes", "Memory per idle connection, bytes, above the empty server", "{:,.0f}"),
    ("full_kib", "Memory of the whole server with them, KiB", "{:,.0f}"),
]


def machine():
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "kernel": platform.release(),
        "cores": len(os.sched_getaffinity(0)),
        "processor": processor(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def summary(rounds):
    """Median of every figure over the rounds, and its spread as (max − min) ÷ median."""
    figures = {}
    for key in rounds[0]:
        values = [one[key] for one in rounds if isinstance(one.get(key), (int, float))]
        if values:
            middle = median(values)
            figures[key] = middle
            figures[f"{key}_spread"] = (max(values) - min(values)) / middle if middle else 0.0
    return figures


def line(figures, columns=COLUMNS):
    """What one measurement says, for whoever watches."""
    shown = [(key, title.split(" (")[0], form) for key, title, form in columns if isinstance(figures.get(key), (int, float))]
    return "  ".join(f"{title}: {form.format(figures[key])}" for key, title, form in shown)


def table(results, titles=TITLES, columns=COLUMNS):
    """One Markdown table a figure: a row a case, a column a peer, and nines' ratio to each."""
    peers = results["peers"]
    others = [peer for peer in peers if peer != "nines"] if "nines" in peers else []
    out = []
    for key, title, form in columns:
        rows = [(case, figures) for case, figures in results["figures"].items()
                if any(key in figures[peer] for peer in figures)
                and not (key == "per_second" and case == "steady-1k")
                and not (key == "p99_us" and case != "steady-1k" and not results.get("all_latencies"))]
        if not rows:
            continue
        out += [f"**{title}**", "", "| | " + " | ".join(list(peers) + [f"nines ÷ {peer}" for peer in others]) + " |",
                "| --- |" + " ---: |" * (len(peers) + len(others))]
        for case, figures in rows:
            name = titles[case] + (f" ({results['steady_rate']:,}/s)" if case == "steady-1k" else "")
            cells = [cell(figures.get(peer, {}), key, form) for peer in peers]
            cells += [ratio(figures, key, peer) for peer in others]
            out.append(f"| {name} | " + " | ".join(cells) + " |")
        out.append("")
    return "\n".join(out)


def cell(figures, key, form):
    if key not in figures:
        return "–"
    spread = figures.get(f"{key}_spread")
    return form.format(figures[key]) + (f" ±{spread * 50:.0f} %" if spread else "")


def ratio(figures, key, peer):
    ours, theirs = figures.get("nines", {}).get(key), figures.get(peer, {}).get(key)
    return f"**{ours / theirs:.2f}**" if ours and theirs else "–"


def preamble(results):
    host = results["machine"]
    versions = ", ".join(f"{peer} {version}" for peer, version in results["versions"].items())
    lines = [f"{host['date'][:10]} · {versions} · Linux {host['kernel']}, {host['cores']} cores "
             f"({host['processor']}) · {results['rounds']} rounds of {results['seconds']} s, "
             f"median ± half the spread · load average before the run {host['load_before']}", ""]
    if results.get("ciphers"):
        lines += [f"All speak {next(iter(results['ciphers'].values()))}.", ""]
    if results.get("direct_p99_us"):
        lines += [f"The same fixed rate straight to a backend, without a proxy, has a p99 of "
                  f"{results['direct_p99_us']:,.0f} µs: load generator, backends and servers share the cores.", ""]
    if results["failed"]:
        lines += ["**Not clean:** " + "; ".join(results["failed"]), ""]
    return "\n".join(lines) + "\n"


def write(results, script="run", titles=TITLES, columns=COLUMNS):
    """The run's JSON, and the script's block of figures in README.md."""
    prefix = "" if script == "run" else f"{script}-"
    path = HERE / "results" / f"{prefix}{results['machine']['date'][:10]}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    tell(script, preamble(results) + table(results, titles, columns))
    return path


def tell(script, figures):
    """Writes the script's block of figures in README.md."""
    readme = HERE / "README.md"
    begin, end = f"<!-- figures: written by bench/{script} -->", f"<!-- end of figures of bench/{script} -->"
    before, rest = readme.read_text().split(begin)
    _, after = rest.split(end)
    readme.write_text(f"{before}{begin}\n{figures}{end}{after}")
