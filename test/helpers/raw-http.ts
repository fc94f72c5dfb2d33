import { type Socket, connect } from 'node:net';
import { atTestEnd } from './cleanup.ts';
import { within } from './deadline.ts';

/** The headers of an upgrade; a test takes out what it wants to be missing. */
export const HANDSHAKE: Readonly<Record<string, string>> = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
};

/** A request as it goes over the wire, with whatever is in its path and headers. */
export function requestOf(path: string, headers: Readonly<Record<string, string>>, method = 'GET'): string {
  const lines = Object.entries({ Host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
}

/** Connects without a word of HTTP; cut at the end of the test. */
export function connectTcp(url: string, options: { allowHalfOpen?: boolean } = {}): Socket {
  const { hostname, port } = new URL(url);
  const tcp = connect({ host: hostname, port: Number(port), ...options });
  atTestEnd(() => tcp.destroy());
  return tcp;
}

/** Everything that the server answers until it ends the connection. */
export async function answerTo(url: string, request: string): Promise<string> {
  const tcp = connectTcp(url);
  let answer = '';
  tcp.on('data', (chunk: Buffer) => (answer += chunk.toString()));
  // A server that refuses a request before its end resets the connection; what it said is here by then.
  tcp.on('error', () => {});
  const closed = new Promise((resolve) => tcp.on('close', resolve));
  tcp.write(request, 'latin1');
  await within(() => `the end of the connection, after ${answer.slice(0, 100) || 'nothing'}`, closed);
  return answer;
}
