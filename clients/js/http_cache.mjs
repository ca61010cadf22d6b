// The public suite of tests for HTTP caches (npm `http-cache-tests`), its origin and its client, on ports of our choice.
//
//   node http_cache.mjs origin               prints its port, then serves until its standard input ends
//   node http_cache.mjs client URL [ID...]   runs all tests, or these with all they send and get, against the cache at URL; its
//                                            last line is a list (JSON) of {id, suite, name, kind, result, detail}
//
// The package's own server listens on all addresses and writes a file with its process id; this one does neither.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { once } from "node:events";
import { pathToFileURL } from "node:url";

const modules = process.env.NINES_NODE_MODULES;
const part = (name) => import(pathToFileURL(`${modules}/http-cache-tests/${name}.mjs`));
const RESULTS = new Map(Object.entries({
  "✅": "pass", "⛔️": "fail", "⚠️": "fail", "Y": "yes", "N": "no",
  "🔹": "setup", "⁉️": "harness", "⚪️": "dependency", "↻": "retry", "-": "untested",
}));

async function serve() {
  const handlers = new Map();
  for (const name of ["config", "state", "test"]) handlers.set(name, (await part(`server/handle-${name}`)).default);
  const server = createServer((request, response) => {
    const [, name, ...rest] = new URL(request.url, "http://origin.test/").pathname.split("/");
    if (handlers.has(name)) return handlers.get(name)(rest, request, response);
    response.writeHead(404).end();
  });
  console.log = console.error;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  process.stdout.write(`${server.address().port}\n`);
  process.stdin.resume().on("end", () => process.exit(0));
}

async function run(url, ids) {
  const fetch = createRequire(`${modules}/`)("node-fetch");
  const { runTests, getResults } = await part("client/runner");
  const { determineTestResult } = await part("lib/display");
  const suites = [...(await part("tests/index")).default, (await part("tests/surrogate-control")).default];
  const wanted = suites.map((suite) => ({
    ...suite,
    tests: suite.tests.filter((test) => !test.browser_only && (ids.length === 0 || ids.includes(test.id))),
  }));
  for (const { tests } of wanted) for (const test of tests) test.dump = ids.length > 0;
  await runTests(wanted, fetch, false, url.replace(/\/$/, ""));
  const results = getResults();
  const listed = wanted.flatMap((suite) => suite.tests.map((test) => ({
    id: test.id, suite: suite.id, name: test.name, kind: test.kind ?? "required",
    result: RESULTS.get(determineTestResult(suites, test.id, results, ids.length === 0)[2]),
    detail: results[test.id] === true ? null : results[test.id].join(": "),
  })));
  process.stdout.write(`${JSON.stringify(listed)}\n`);
}

const [mode, url, ...ids] = process.argv.slice(2);
await (mode === "origin" ? serve() : run(url, ids));
