// Talks HTTP/2 with Node's own client, in one session.
//
//   node http2.mjs URL [STREAMS]     prints what came back, as JSON
import { connect, constants } from "node:http2";
import { createHash } from "node:crypto";
import { once } from "node:events";

const { HTTP2_HEADER_METHOD: METHOD, HTTP2_HEADER_PATH: PATH, HTTP2_HEADER_STATUS: STATUS, NGHTTP2_CANCEL } = constants;
const [url, streams = "100"] = process.argv.slice(2);
const session = connect(url, { rejectUnauthorized: false, servername: "shop.test" });
let sessions = 0;
session.on("connect", () => sessions++);

async function ask(headers, body) {
  const stream = session.request(headers, { endStream: body === undefined });
  const trailers = {};
  stream.on("trailers", (fields) => Object.assign(trailers, fields));
  if (body !== undefined) stream.end(body);
  const [head] = await once(stream, "response");
  const hash = createHash("sha256");
  let text = "";
  let length = 0;
  for await (const part of stream) {
    hash.update(part);
    length += part.length;
    if (length < 65_536) text += part.toString("latin1");
  }
  return { status: head[STATUS], head, text, length, sha256: hash.digest("hex"), trailers };
}

const result = {};
const many = await Promise.all(
  Array.from({ length: Number(streams) }, (_, n) => ask({ [METHOD]: "POST", [PATH]: `/echo?n=${n}` }, `body ${n}`)),
);
result.inOrder = many.every((answer, n) => answer.status === 200 && answer.text === `body ${n}`);

result.trailers = (await ask({ [PATH]: "/trailers", te: "trailers" })).trailers;
const large = await ask({ [PATH]: "/large" });
result.large = { length: large.length, sha256: large.sha256 };

const cancelled = session.request({ [PATH]: "/endless" });
await once(cancelled, "data");
cancelled.close(NGHTTP2_CANCEL);
await once(cancelled, "close");
result.after = (await ask({ [PATH]: "/echo", [METHOD]: "POST" }, "still here")).text;

result.push = session.remoteSettings.enablePush;
result.connectProtocol = session.remoteSettings.enableConnectProtocol;
result.protocol = session.alpnProtocol;
result.sessions = sessions;
session.close();
await once(session, "close");
console.log(JSON.stringify(result));
