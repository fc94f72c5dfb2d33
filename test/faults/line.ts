import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import { type Dialect, type Frame, encodeFrame } from '../helpers/frames.ts';

/*
 * What a crowd in a process of its own needs of a socket: less than `ws` does, so that hundreds of them take little of a machine
 * on which others are measured.
 */

/** Opcodes of WebSocket frames. */
const [BINARY, PING, PONG] = [2, 9, 10];

/** The frames that a server sends, which are not masked, by their opcodes and lengths. */
class FrameReader {
  #head = Buffer.alloc(0);
  #opcode = 0;
  #length = 0;
  #left = 0;
  readonly #onFrame: (opcode: number, length: number) => void;

  constructor(onFrame: (opcode: number, length: number) => void) {
    this.#onFrame = onFrame;
  }

  read(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === 0) rest = this.#readHead(rest);
      const passed = Math.min(this.#left, rest.length);
      this.#left -= passed;
      rest = rest.subarray(passed);
      if (this.#length >= 0 && this.#left === 0) this.#end();
    }
  }

  /** @returns what follows the head; nothing while it is not complete */
  #readHead(chunk: Buffer): Buffer {
    const head = Buffer.concat([this.#head, chunk]);
    const short = (head[1] ?? 0) & 0x7f;
    const size = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (head.length < size) {
      this.#head = head;
      this.#length = -1;
      return head.subarray(head.length);
    }
    this.#head = Buffer.alloc(0);
    this.#opcode = (head[0] ?? 0) & 0x0f;
    this.#length =
      short < 126 ? short : short === 126 ? head.readUInt16BE(2) : Number(head.readBigUInt64BE(2));
    this.#left = this.#length;
    return head.subarray(size);
  }

  #end(): void {
    const length = this.#length;
    this.#length = -1;
    this.#onFrame(this.#opcode, length);
  }
}

/** A socket in one document, over either protocol. */
export class Line {
  /** Called with the length of each frame that arrives once it is open. */
  onFrame: (length: number) => void = () => {};
  readonly #dialect: Dialect;
  readonly #document: string;
  readonly #url: URL;
  readonly #socket: Socket;
  #onPong = (): void => {};

  constructor(dialect: Dialect, url: string, document: string) {
    this.#dialect = dialect;
    this.#document = document;
    this.#url = new URL(url);
    this.#socket = connect(Number(this.#url.port), this.#url.hostname);
  }

  /** Holds when it is in the document. */
  async join(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const reader = new FrameReader((opcode, length) => {
      // A Hocuspocus client is told that it may, before it asks for anything.
      resolve();
      if (opcode === PONG) this.#onPong();
      else this.onFrame(length);
    });
    let head: string | undefined = '';
    this.#socket
      .on('error', reject)
      .on('close', () => reject(new Error('the server has closed a connection')));
    this.#socket.on('data', (chunk) => {
      if (head === undefined) return reader.read(chunk);
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end === -1) return undefined;
      if (!head.startsWith('HTTP/1.1 101')) reject(new Error(head.slice(0, end)));
      const rest = Buffer.from(head.slice(end + 4), 'latin1');
      head = undefined;
      if (this.#dialect === 'y-websocket') resolve();
      else this.send({ type: 'token', token: '' });
      return reader.read(rest);
    });
    const path = this.#dialect === 'y-websocket' ? `/${encodeURIComponent(this.#document)}` : '/';
    this.#socket.write(
      `GET ${path} HTTP/1.1\r\nHost: ${this.#url.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
    );
    return promise;
  }

  /** @returns whether it leaves soon; else {@link drained} says when */
  send(frame: Frame): boolean {
    return this.#write(BINARY, encodeFrame(this.#dialect, frame, this.#document));
  }

  /** Holds when what was sent has left. */
  async drained(): Promise<void> {
    if (this.#socket.writableNeedDrain) await once(this.#socket, 'drain');
  }

  /** Holds when the server has handled what was sent. */
  handled(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onPong = resolve;
    this.#write(PING, new Uint8Array());
    return promise;
  }

  /** One frame, masked by zeros. */
  #write(opcode: number, payload: Uint8Array): boolean {
    const { length } = payload;
    const head = length < 126 ? Buffer.alloc(6) : length < 65_536 ? Buffer.alloc(8) : Buffer.alloc(14);
    head[0] = 0x80 | opcode;
    head[1] = 0x80 | (length < 126 ? length : length < 65_536 ? 126 : 127);
    if (head.length === 8) head.writeUInt16BE(length, 2);
    if (head.length === 14) head.writeBigUInt64BE(BigInt(length), 2);
    this.#socket.cork();
    this.#socket.write(head);
    const isSoon = this.#socket.write(payload);
    this.#socket.uncork();
    return isSoon;
  }

  end(): void {
    this.#socket.removeAllListeners('close').destroy();
  }
}
