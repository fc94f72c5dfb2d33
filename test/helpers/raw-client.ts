import type { Socket as TcpSocket } from 'node:net';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { atTestEnd } from './cleanup.ts';
import { createSignal, until, within } from './deadline.ts';
import {
  type Dialect,
  type Frame,
  type FrameType,
  type Received,
  decodeFrame,
  encodeFrame,
} from './frames.ts';

export interface RawOptions {
  headers?: Record<string, string>;
  protocols?: string[];
  /** Whether it answers pings; `true` when left out. */
  autoPong?: boolean;
}

export interface Closed {
  code: number;
  reason: string;
}

/** The server answered the upgrade with HTTP instead of 101. */
export class UpgradeRefused extends Error {
  readonly status: number;
  readonly body: string;

  constructor(status: number, body: string) {
    super(`the upgrade was refused with ${status}: ${body}`);
    this.status = status;
    this.body = body;
  }
}

/** A bare WebSocket that speaks frames and does nothing by itself: it shows exactly what arrives. */
export interface RawClient {
  socket: WebSocket;
  /** Every frame that arrived, in order. */
  frames: Received[];
  /** `address` is the document's, for Hocuspocus. */
  send(frame: Frame, address?: string): void;
  sendBytes(bytes: Uint8Array): void;
  /** Takes the first frame of this type that nobody has taken yet, or waits for it. */
  next<T extends FrameType>(type: T, deadlineMs?: number): Promise<Received<T>>;
  /** Holds when the server has handled every frame so far, and what it answered at once is here; or the line has ended. */
  settled(): Promise<void>;
  /** How the connection ended, or will end. */
  closed(deadlineMs?: number): Promise<Closed>;
}

/** `url` is complete: the document's name is in its path, the token in its query or in a subprotocol. */
export function rawYWebsocket(url: string, options?: RawOptions): Promise<RawClient> {
  return openRaw('y-websocket', url, options);
}

export function rawHocuspocus(url: string, options?: RawOptions): Promise<RawClient> {
  return openRaw('hocuspocus', url, options);
}

async function openRaw(dialect: Dialect, url: string, options: RawOptions = {}): Promise<RawClient> {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), options.protocols ?? [], {
    headers: options.headers,
    autoPong: options.autoPong ?? true,
  });
  socket.binaryType = 'nodebuffer';
  // Not the socket with all that it was sent: a test may open tens of thousands, one after the other.
  let left: WebSocket | undefined = socket;
  socket.on('close', () => (left = undefined));
  atTestEnd(() => left?.terminate());
  const client = createClient(dialect, socket);
  await within(() => `a connection to ${url}`, opened(socket));
  return client;
}

async function opened(socket: WebSocket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on('open', resolve);
  socket.on('error', reject);
  socket.on('unexpected-response', (_request, response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('end', () => {
      reject(new UpgradeRefused(response.statusCode ?? 0, Buffer.concat(chunks).toString()));
    });
  });
  return promise;
}

function createClient(dialect: Dialect, socket: WebSocket): RawClient {
  const frames: Received[] = [];
  const waiting: Received[] = [];
  const changed = createSignal();
  let end: Closed | undefined;
  // Listening before the connection is open: the first frames can come with the answer to the upgrade.
  socket.on('message', (data: Buffer) => {
    const frame = decodeFrame(dialect, new Uint8Array(data));
    frames.push(frame);
    waiting.push(frame);
    changed.fire();
  });
  socket.on('close', (code, reason) => {
    end = { code, reason: reason.toString() };
    changed.fire();
  });
  const closed: RawClient['closed'] = async (deadlineMs) => {
    await until({
      what: () => `the connection's end (${seen()})`,
      check: () => end !== undefined,
      signal: changed,
      deadlineMs,
    });
    return end as Closed;
  };
  const seen = () => `it got ${frames.map((frame) => frame.type).join(', ') || 'nothing'}`;
  return {
    socket,
    frames,
    send: (frame, address) => socket.send(encodeFrame(dialect, frame, address)),
    sendBytes: (bytes) => socket.send(bytes),
    async next<T extends FrameType>(type: T, deadlineMs?: number) {
      const find = () => waiting.findIndex((frame) => frame.type === type);
      await until({
        what: () => `a frame of type ${type} (${seen()})`,
        check: () => find() !== -1,
        hopeless: () => end && `the connection closed with ${end.code} ${end.reason}`,
        signal: changed,
        deadlineMs,
      });
      return waiting.splice(find(), 1)[0] as Received<T>;
    },
    async settled() {
      // Frames and pings are handled in their order, and so are their answers.
      const answered = once(socket, 'pong');
      if (socket.readyState === WebSocket.OPEN) socket.ping();
      await within(() => `an answer to a ping (${seen()})`, Promise.race([answered, closed()]));
    },
    closed,
  };
}

/** Has what a client sends meanwhile leave in one piece, so that the server reads it at once. */
export function inOnePiece({ socket }: RawClient, send: () => void): void {
  const tcp = Reflect.get(socket, '_socket') as TcpSocket;
  tcp.cork();
  send();
  tcp.uncork();
}
