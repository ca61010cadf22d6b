// Makes the requests that standard input lists (JSON), one after the other over one undici Agent, and prints what
// came back, with the number of connections that it took.
import { createRequire } from "node:module";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import diagnostics from "node:diagnostics_channel";
import { text } from "node:stream/consumers";

const { Agent, request } = createRequire(`${process.env.NINES_NODE_MODULES}/`)("undici");

let connections = 0;
diagnostics.subscribe("undici:client:connected", () => connections++);

// One connection an origin, opened again only when the server has closed it.
const dispatcher = new Agent({ connections: 1 });
const answers = [];
for (const wish of JSON.parse(await text(process.stdin))) {
  const body = wish.file ? createReadStream(wish.file) : (wish.body ?? null);
  const answer = await request(wish.url, { dispatcher, method: wish.method, headers: wish.headers, body });
  const hash = createHash("sha256");
  let length = 0;
  let kept = Buffer.alloc(0);
  for await (const part of answer.body) {
    hash.update(part);
    length += part.length;
    if (length <= 65_536) kept = Buffer.concat([kept, part]);
  }
  answers.push({
    status: answer.statusCode,
    headers: answer.headers,
    trailers: answer.trailers,
    sha256: hash.digest("hex"),
    length,
    body: length <= 65_536 ? kept.toString("latin1") : null,
  });
}
await dispatcher.close();
console.log(JSON.stringify({ answers, connections }));
