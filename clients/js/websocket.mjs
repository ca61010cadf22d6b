// A WebSocket server, and a client that reaches it through a proxy.
//
//   node websocket.mjs server            prints its port, then serves until its standard input ends
//   node websocket.mjs client URL        exchanges messages of all kinds, prints what happened
import { createRequire } from "node:module";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";

const { WebSocket, WebSocketServer } = createRequire(`${process.env.NINES_NODE_MODULES}/`)("ws");
const sha256 = (data) => createHash("sha256").update(data).digest("hex");

async function serve() {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: () => "echo.nines" });
  server.on("connection", (socket, request) => {
    socket.send(JSON.stringify({ path: request.url, via: request.headers.via ?? null }));
    socket.on("message", (data, isBinary) => {
      if (!isBinary && data.toString() === "close, please") socket.close(4009, "as you wish");
      else socket.send(data, { binary: isBinary });
    });
  });
  await once(server, "listening");
  console.log(server.address().port);
  process.stdin.resume().on("end", () => process.exit(0));
}

async function talk(url) {
  const socket = new WebSocket(url, ["echo.nines"], { perMessageDeflate: true });
  const inbox = [];
  let wake = () => {};
  socket.on("message", (data, isBinary) => {
    inbox.push({ data, isBinary });
    wake();
  });
  const next = async () => {
    while (!inbox.length) await new Promise((resolve) => (wake = resolve));
    return inbox.shift();
  };
  await once(socket, "open");
  const result = { protocol: socket.protocol, hello: JSON.parse((await next()).data) };

  socket.send("grüße");
  result.text = (await next()).data.toString();

  const blob = randomBytes(1 << 20);
  socket.send(blob);
  const back = await next();
  result.binary = back.isBinary && sha256(back.data) === sha256(blob);

  for (let n = 0; n < 200; n++) socket.send(`message ${n}`);
  result.inOrder = true;
  for (let n = 0; n < 200; n++) result.inOrder &&= (await next()).data.toString() === `message ${n}`;

  const pong = once(socket, "pong");
  socket.ping("still there?");
  result.pong = (await pong)[0].toString();

  const closed = once(socket, "close");
  socket.send("close, please");
  const [code, reason] = await closed;
  result.close = { code, reason: reason.toString() };
  console.log(JSON.stringify(result));
}

const [what, url] = process.argv.slice(2);
await (what === "server" ? serve() : talk(url));
